/**
 * What the content hash and the implied checks cost: the statement of a task, written as it runs, with and without
 * them. It is rolled back every time, so that each variant writes the same rows into the same empty candidate.
 */
import type { Derived } from "rederive";
import { taskProbes } from "../src/validation/compile.ts";
import { createCandidate } from "../src/warehouse/candidate.ts";
import { liveColumns, ownedOf } from "../src/warehouse/columns.ts";
import { selectStatement } from "../src/warehouse/compute.ts";
import { liveConstraints } from "../src/warehouse/constraints.ts";
import { contentHash } from "../src/warehouse/digest.ts";
import type { TaskSpec } from "../src/warehouse/measure.ts";
import { openSession, type Session } from "../src/warehouse/session.ts";

/** What a statement does beside writing its rows. */
export type Extras = "none" | "hash" | "hash and checks";

export interface CostBench {
  /** Writes the days with `extras`; returns nothing, the caller takes the time. */
  write(extras: Extras): Promise<void>;
  end(): Promise<void>;
}

/** Prepares the statements of `days` daily partitions from `firstOrdinal` on. */
export async function openCosts(url: string, derived: Derived, firstOrdinal: number, days: number): Promise<CostBench> {
  const session = await openSession(url, { applicationName: "rederive bench" });
  const columns = ownedOf(derived, await liveColumns(session, derived));
  const probes = taskProbes(derived, columns, await liveConstraints(session, derived));
  const candidate = '"rederive_candidate"."costs"';
  const specOf = (ordinal: number, extras: Extras): TaskSpec => ({
    derived,
    ordinal,
    candidate,
    columns,
    probes: extras === "hash and checks" ? probes : [],
    bindings: derived.inputs.map((input) => ({ input, recomputed: [], candidate: "", live: [[ordinal, ordinal + 1]] })),
    replace: false,
  });
  return {
    write: (extras) =>
      inRolledBack(session, async () => {
        await createCandidate(session, derived, columns, candidate);
        for (let day = 0; day < days; day += 1)
          await session.query(statementOf(specOf(firstOrdinal + day, extras), extras));
      }),
    end: () => session.end(),
  };
}

/** There is no switch for the hash, on purpose; here its expression is put out of the statement's text. */
function statementOf(spec: TaskSpec, extras: Extras): string {
  const { transform } = spec.derived;
  if (transform.kind !== "select") throw new Error(`${spec.derived.name} is no select`);
  const statement = selectStatement(spec, transform);
  return extras === "none" ? statement.replace(contentHash(spec.columns), "''") : statement;
}

async function inRolledBack(session: Session, work: () => Promise<void>): Promise<void> {
  await session.query("begin isolation level repeatable read");
  try {
    await work();
  } finally {
    await session.query("rollback");
  }
}
