/** A pinned session on a fresh database, and task specs made from definitions and the live tables they stand for. */
import type { Derived } from "../../src/catalog/dataset.ts";
import { taskProbes } from "../../src/validation/compile.ts";
import { candidateNames, createCandidate } from "../../src/warehouse/candidate.ts";
import { liveColumns, ownedOf } from "../../src/warehouse/columns.ts";
import { liveConstraints } from "../../src/warehouse/constraints.ts";
import type { TaskSpec } from "../../src/warehouse/measure.ts";
import { openSession, type Session } from "../../src/warehouse/session.ts";
import { withDatabase } from "../support/postgres.ts";

export async function withSession(callback: (session: Session, url: string) => Promise<void>): Promise<void> {
  await withDatabase(async (url) => {
    const session = await openSession(url, { applicationName: "rederive test" });
    try {
      await callback(session, url);
    } finally {
      await session.end();
    }
  });
}

/** Makes the candidate of a dataset and gives the spec of one of its partitions, with every implied and declared check. */
export async function aSpec(
  session: Session,
  derived: Derived,
  options: Partial<TaskSpec> & { backfill?: string } = {},
): Promise<TaskSpec> {
  const { backfill = "bf_test", ...overrides } = options;
  const columns = ownedOf(derived, await liveColumns(session, derived));
  const { candidate } = candidateNames(derived.name, backfill);
  await createCandidate(session, derived, columns, candidate);
  const probes = taskProbes(derived, columns, await liveConstraints(session, derived));
  return { derived, ordinal: 0, candidate, bindings: [], columns, probes, replace: false, ...overrides };
}

/** Runs `work` in a transaction of the kind that tasks use, and commits. */
export async function inTransaction<Result>(session: Session, work: () => Promise<Result>): Promise<Result> {
  await session.query("begin isolation level repeatable read");
  try {
    const result = await work();
    await session.query("commit");
    return result;
  } catch (error) {
    await session.query("rollback");
    throw error;
  }
}
