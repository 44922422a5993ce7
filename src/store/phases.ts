/**
 * Table `phase`: a backfill that widens step by step. Phases pass in order: passed ones, then one that is open or judged,
 * then waiting ones. Backfills without phases have no rows, and nothing of this holds anything back in them.
 */
import type { PhaseStatus } from "../report.ts";
import type { Tx } from "../tx.ts";

export interface PhaseRow extends PhaseStatus {
  readonly ordinal: number;
}

export type PhaseFound = NonNullable<PhaseStatus["found"]>[number];

/**
 * The rank from which on nothing of a backfill may begin, as SQL: that of the first waiting phase. `backfill` is a
 * parameter or a column.
 */
export function gateRank(backfill: string): string {
  return `coalesce((select min(p.first_rank) from rederive.phase p
    where p.backfill = ${backfill} and p.state = 'waiting'), 9223372036854775807)`;
}

export async function insertPhases(
  tx: Tx,
  backfill: string,
  phases: readonly {
    readonly name: string;
    readonly gate: PhaseRow["gate"];
    readonly firstRank: number;
    readonly tasks: number;
  }[],
): Promise<void> {
  for (const [ordinal, { name, gate, firstRank, tasks }] of phases.entries()) {
    await tx.query(
      `insert into rederive.phase (backfill, ordinal, name, first_rank, tasks, gate, state, opened_at)
       values ($1::text, $2::int, $3::text, $4::int8, $5::int, $6::text, $7::text,
         case when $7::text = 'open' then clock_timestamp() end)`,
      [backfill, ordinal, name, firstRank, tasks, gate, ordinal === 0 ? "open" : "waiting"],
    );
  }
}

const iso = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** In order. */
export async function readPhases(tx: Tx, backfill: string): Promise<PhaseRow[]> {
  return tx.query<PhaseRow>(
    `select ordinal, name, tasks, gate, state, ${iso("judged_at")} as "judgedAt", ${iso("passed_at")} as "passedAt",
       passed_by as "passedBy", found
     from rederive.phase where backfill = $1::text order by ordinal`,
    [backfill],
  );
}

/** The one that waits for somebody's approval. */
export async function judgedPhase(tx: Tx, backfill: string): Promise<PhaseRow | undefined> {
  return (await readPhases(tx, backfill)).find(({ state }) => state === "judged");
}

/** Open → judged: nothing was found, and somebody has to approve. */
export async function holdPhase(tx: Tx, backfill: string, ordinal: number): Promise<void> {
  await tx.query(
    `update rederive.phase set state = 'judged'
     where backfill = $1::text and ordinal = $2::int and state = 'open'`,
    [backfill, ordinal],
  );
}

/** What was found when it was judged last. */
export async function notePhase(
  tx: Tx,
  args: { readonly backfill: string; readonly ordinal: number; readonly found: readonly PhaseFound[] },
): Promise<void> {
  await tx.query(
    `update rederive.phase set judged_at = clock_timestamp(), found = $3::text::jsonb
     where backfill = $1::text and ordinal = $2::int`,
    [args.backfill, args.ordinal, JSON.stringify(args.found)],
  );
}

/** Open or judged → passed, and the next one is open. What was accepted here is not accepted for what comes. */
export async function passPhase(
  tx: Tx,
  args: { readonly backfill: string; readonly ordinal: number; readonly by: string },
): Promise<void> {
  await tx.query(
    `update rederive.phase set
       state = case when ordinal = $2::int then 'passed' else 'open' end,
       passed_at = case when ordinal = $2::int then clock_timestamp() end,
       passed_by = case when ordinal = $2::int then $3::text end,
       opened_at = case when ordinal = $2::int then opened_at else clock_timestamp() end
     where backfill = $1::text and (ordinal = $2::int and state in ('open', 'judged')
       or ordinal = $2::int + 1 and state = 'waiting')`,
    [args.backfill, args.ordinal, args.by],
  );
  await tx.query("update rederive.backfill_dataset set accepted = false where backfill = $1::text and accepted", [
    args.backfill,
  ]);
}

/** Judged → open, because something of it is computed again. */
export async function reopenPhase(tx: Tx, backfill: string): Promise<void> {
  await tx.query("update rederive.phase set state = 'open' where backfill = $1::text and state = 'judged'", [backfill]);
}

/** The last phase has no gate: what follows it is the verification of everything. */
export async function endPhases(tx: Tx, backfill: string, by: string): Promise<void> {
  await tx.query(
    `update rederive.phase set state = 'passed', passed_at = clock_timestamp(), passed_by = $2::text
     where backfill = $1::text and state = 'open'`,
    [backfill, by],
  );
}
