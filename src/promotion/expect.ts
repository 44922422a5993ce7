/**
 * The blast radius: whether what differs between candidates and live tables is within what the plan expects.
 *
 * The differences are found as a promotion would find them, under one snapshot. Each expectation that does not hold is
 * one outcome, with rows that are outside of it as they were and as they would be.
 */
import type { DatasetExpectation } from "../plan.ts";
import type { Database, Tx } from "../tx.ts";
import type { Outcome } from "../validation/verdict.ts";
import { asText, countCandidate, type Differences } from "../warehouse/compare.ts";
import { holdsFor } from "../warehouse/condition.ts";
import { evidenceLimit } from "../warehouse/evidence.ts";
import { pinTransaction } from "../warehouse/locks.ts";
import { columnsHidden, maskRow } from "../warehouse/mask.ts";
import { bookkeeping } from "../warehouse/restore.ts";
import { differs, loadTarget, type MergeInput, type Target, within } from "../warehouse/target.ts";
import { differencesOf } from "./diff.ts";

export interface Expected {
  readonly input: Omit<MergeInput, "restorePoint">;
  readonly expectation: DatasetExpectation;
}

/** By dataset, what is outside of its expectation; no entry where all is within. Writes temporary tables alone. */
export async function outsideExpectations(
  database: Database,
  backfill: string,
  expected: readonly Expected[],
): Promise<ReadonlyMap<string, readonly Outcome[]>> {
  if (expected.length === 0) return new Map();
  return database.transaction(
    async (tx) => {
      await pinTransaction(tx, { lockTimeoutMs: 500 });
      const outside = new Map<string, readonly Outcome[]>();
      for (const [index, { input, expectation }] of expected.entries()) {
        const target = await loadTarget(tx, { ...input, restorePoint: `pg_temp.rederive_expect_${index}` });
        const outcomes = await outsideOf(tx, target, expectation, backfill);
        if (outcomes.length > 0) outside.set(target.dataset, outcomes);
      }
      return outside;
    },
    { isolation: "repeatable read" },
  );
}

async function outsideOf(
  tx: Tx,
  target: Target,
  expectation: DatasetExpectation,
  backfill: string,
): Promise<Outcome[]> {
  const { found, rows } = await differencesOf(tx, target, backfill);
  const outcomes: Outcome[] = [];
  const { maxChangedRows, maxChangedRatio, columns, where } = expectation;
  const intoEmpty = found.wasEmpty.length === 0 ? 0 : await countCandidate(tx, target, found.wasEmpty);
  const added = found.inserts + intoEmpty - found.movedIntoEmpty;
  const changed = added + found.updates + found.deletes;
  const rowsBefore = rows - added + found.deletes;
  const most = Math.max(rows, rowsBefore);
  const all = (name: string, message: string) => outcomeOf(tx, target, found, { name, message, condition: everyRow });
  if (maxChangedRows !== undefined && changed > maxChangedRows) {
    outcomes.push(await all("expect(maxChangedRows)", `differ, and at most ${maxChangedRows} were expected to`));
  }
  if (maxChangedRatio !== undefined && changed > maxChangedRatio * most) {
    const share = `${percent(changed / most)} of ${most}, and at most ${percent(maxChangedRatio)} were expected to`;
    outcomes.push(await all("expect(maxChangedRatio)", `differ, ${share}`));
  }
  const conditions = [
    ...(columns === undefined ? [] : [inOtherColumns(target, columns)]),
    ...(where === undefined ? [] : [elsewhere(target, where)]),
  ];
  for (const outside of conditions) {
    const outcome = await outcomeOf(tx, target, found, outside);
    if (outcome.failures > 0) outcomes.push(outcome);
  }
  return outcomes;
}

/** Rows outside of one expectation. */
interface Outside {
  readonly name: string;
  /** Goes on after their number. */
  readonly message: string;
  /** True for those of the rows noted in the restore point (`r`, with the candidate's row `c`) that are outside. */
  readonly condition: { readonly noted: string; readonly appeared: string };
}

const everyRow = { noted: "true", appeared: "true" };

function inOtherColumns(target: Target, columns: readonly string[]): Outside {
  const others = target.owned.filter((name) => !columns.includes(name));
  const wholeRows = target.key.every((name) => columns.includes(name)) ? "false" : "true";
  const noted = `case when r.${bookkeeping.op} = 'update' then ${differs(target, others, "r", "c")} else ${wholeRows} end`;
  const message = `differ elsewhere than in ${columns.length === 0 ? "no column" : columns.join(", ")}`;
  return { name: "expect(columns)", message, condition: { noted, appeared: wholeRows } };
}

function elsewhere({ derived }: Target, where: string): Outside {
  const holds = (alias: string) => holdsFor(derived, where, alias);
  const op = `r.${bookkeeping.op}`;
  const noted = `(${op} <> 'insert' and not ${holds("r")} or ${op} <> 'delete' and not ${holds("c")})`;
  return {
    name: "expect(where)",
    message: `differ where it is not true that ${where}`,
    condition: { noted, appeared: `not ${holds("c")}` },
  };
}

interface DifferingRow {
  readonly kind: "added" | "removed" | "changed";
  readonly before: Readonly<Record<string, string | null>> | null;
  readonly after: Readonly<Record<string, string | null>> | null;
}

async function outcomeOf(tx: Tx, target: Target, found: Differences, outside: Outside): Promise<Outcome> {
  const rows = outsideRows(target, found, outside);
  const [counted] = await tx.query<{ count: number }>(`select count(*)::float8 as count from (${rows}) as outside`);
  const failures = counted?.count ?? 0;
  const samples = failures === 0 ? [] : await tx.query<DifferingRow>(`${rows} limit ${evidenceLimit}`);
  const shown = samples.map((row) => evidenceRow(target, row));
  const message = `${failures} ${failures === 1 ? "row" : "rows"} ${outside.message}`;
  return { name: outside.name, severity: "error", failures, evidence: { message, sql: null, rows: shown } };
}

/** What the restore point notes, and what appears in ranges that had no live rows, of which it notes nothing. */
function outsideRows(target: Target, found: Differences, { condition }: Outside): string {
  const { op, row } = bookkeeping;
  const kind = `case r.${op} when 'insert' then 'added' when 'delete' then 'removed' else 'changed' end`;
  const noted = `select ${kind} as kind,
      case when r.${op} <> 'insert' then ${asText(target, "r")} end as before,
      case when r.${op} <> 'delete' then ${asText(target, "c")} end as after
    from ${target.restorePoint} r left join ${target.candidate} c on c.ctid = r.${row}
    where ${condition.noted}`;
  if (found.wasEmpty.length === 0) return noted;
  return `${noted}
    union all
    select 'added', null::json, ${asText(target, "c")} from ${target.candidate} c
    where ${within(target, found.wasEmpty, "c")} and ${condition.appeared}
      and not exists (select from ${target.restorePoint} r where r.${row} = c.ctid and r.${op} = 'update')`;
}

/** The key, and what differs; all of a row that appears or disappears. */
function evidenceRow({ derived, key }: Target, { kind, before, after }: DifferingRow): Record<string, string | null> {
  const hidden = columnsHidden(derived);
  const [was, is] = [before ?? {}, after ?? {}];
  if (kind !== "changed") return { change: kind, ...maskRow(kind === "added" ? is : was, hidden) };
  const shownBefore = maskRow(was, hidden);
  const shownAfter = maskRow(is, hidden);
  const keys = Object.fromEntries(key.map((name) => [name, shownAfter[name] ?? null]));
  const changed = Object.keys(was).filter((name) => was[name] !== is[name]);
  const pairs = changed.flatMap((name) => [
    [`${name} before`, shownBefore[name] ?? null] as const,
    [`${name} after`, shownAfter[name] ?? null] as const,
  ]);
  return { change: kind, ...keys, ...Object.fromEntries(pairs) };
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}
