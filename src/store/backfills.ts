/** Table `backfill` and `backfill_dataset`: plans, their states, and what each dataset of a backfill is called. */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { Decision, Forecast } from "../plan.ts";
import type { Requirement } from "../report.ts";
import { type BackfillState, backfillSourcesOf } from "../states.ts";
import type { Tx } from "../tx.ts";
import { checkCodeLevel } from "./migrate.ts";

export interface BackfillRow {
  readonly id: string;
  readonly state: BackfillState;
  readonly stateReason: string | null;
  readonly planHash: string;
  /** Canonical JSON text of the decision. */
  readonly decision: string;
  readonly forecast: Forecast;
  readonly reason: string;
  readonly environment: string;
  /** The person, whatever token was used. */
  readonly requestedBy: string;
  /** As the policy was when it was planned. */
  readonly requirement: Requirement;
  readonly traceparent: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

export type NewBackfill = Pick<
  BackfillRow,
  "id" | "planHash" | "decision" | "forecast" | "reason" | "environment" | "requestedBy" | "requirement"
> & { readonly traceparent: string | undefined };

export interface BackfillDataset {
  readonly dataset: string;
  readonly ordinal: number;
  readonly partitions: Ranges;
  readonly fingerprint: string;
  readonly definition: string;
  readonly queue: string;
  readonly criticality: number;
  readonly candidate: string;
  readonly restorePoint: string;
  readonly held: boolean;
  readonly holdReason: string | null;
  /** A person has accepted what the checks of the whole dataset found. */
  readonly accepted: boolean;
}

export type NewDataset = Omit<BackfillDataset, "held" | "holdReason" | "accepted">;

/** Instants as ISO 8601 text in UTC with milliseconds. */
const iso = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const backfillColumns = `id, state, state_reason as "stateReason", plan_hash as "planHash", decision, forecast, reason,
  environment, requested_by as "requestedBy", traceparent,
  jsonb_build_object('start', start_approvals, 'promote', promotion_approvals, 'signOff', sign_off) as requirement, ${iso("created_at")} as "createdAt",
  ${iso("started_at")} as "startedAt", ${iso("finished_at")} as "finishedAt"`;

export async function insertBackfill(tx: Tx, row: NewBackfill): Promise<void> {
  await tx.query(
    `insert into rederive.backfill
       (id, plan_hash, decision, forecast, reason, environment, requested_by, traceparent, start_approvals,
        promotion_approvals, sign_off)
     values ($1::text, $2::text, $3::text, $4::text::jsonb, $5::text, $6::text, $7::text, $8::text, $9::int, $10::int,
       $11::text[])`,
    [
      row.id,
      row.planHash,
      row.decision,
      JSON.stringify(row.forecast),
      row.reason,
      row.environment,
      row.requestedBy,
      row.traceparent ?? null,
      row.requirement.start,
      row.requirement.promote,
      [...row.requirement.signOff],
    ],
  );
}

export async function readBackfill(tx: Tx, id: string): Promise<BackfillRow | undefined> {
  const [row] = await tx.query<BackfillRow>(`select ${backfillColumns} from rederive.backfill where id = $1::text`, [
    id,
  ]);
  return row;
}

/** Whether a plan recomputes one of these datasets, or nothing at all; started or not. */
export function touches(decision: string, datasets: string): string {
  return `(select coalesce(bool_or(step ->> 'dataset' = any(${datasets})), true)
    from jsonb_array_elements(${decision}::jsonb -> 'steps') step where step ->> 'action' = 'recompute')`;
}

/** Newest first; with `touching` those that recompute one of these datasets. */
export async function listBackfills(
  tx: Tx,
  options: { limit: number; state?: BackfillState | undefined; touching?: readonly string[] | undefined },
): Promise<BackfillRow[]> {
  return tx.query<BackfillRow>(
    `select ${backfillColumns} from rederive.backfill b
     where ($1::text is null or state = $1::text)
       and ($3::text[] is null or ${touches("b.decision", "$3::text[]")})
     order by created_at desc, id limit $2::int`,
    [options.state ?? null, options.limit, options.touching === undefined ? null : [...options.touching]],
  );
}

/**
 * Locks the row against other acts on the same backfill and gives it as it is now. Throws `schema_incompatible` where a
 * newer migration has shut out this code: how acts exclude each other may have changed with it.
 */
export async function lockBackfill(tx: Tx, id: string): Promise<BackfillRow | undefined> {
  const [row] = await tx.query<BackfillRow>(
    `select ${backfillColumns} from rederive.backfill where id = $1::text for no key update`,
    [id],
  );
  await checkCodeLevel(tx);
  return row;
}

/**
 * Moves a backfill to `to` where the table in states.ts allows it. False where it is in another state, so that of
 * two acts that race, the one that commits first wins.
 */
export async function moveBackfill(
  tx: Tx,
  args: { id: string; to: BackfillState; reason: string | null; from?: readonly BackfillState[] },
): Promise<boolean> {
  const from = args.from ?? backfillSourcesOf(args.to);
  const rows = await tx.query(
    `update rederive.backfill set
       state = $2::text,
       state_reason = $3::text,
       started_at = case when $2::text = 'running' then coalesce(started_at, clock_timestamp()) else started_at end,
       verified_at = case when $2::text = 'verified' then clock_timestamp() else verified_at end,
       finished_at = case when $2::text in ('verified', 'held', 'cancelled', 'failed') then clock_timestamp()
                          when $2::text = 'running' then null else finished_at end
     where id = $1::text and state = any($4::text[])
     returning id`,
    [args.id, args.to, args.reason, from],
  );
  return rows.length === 1;
}

export async function insertDatasets(tx: Tx, backfill: string, datasets: readonly NewDataset[]): Promise<void> {
  for (const row of datasets) {
    await tx.query(
      `insert into rederive.backfill_dataset
         (backfill, dataset, ordinal, partitions, fingerprint, definition, queue, criticality, candidate, restore_point)
       values ($1::text, $2::text, $3::int, $4::text::int8multirange, $5::text, $6::text, $7::text, $8::int, $9::text, $10::text)`,
      [
        backfill,
        row.dataset,
        row.ordinal,
        toMultirange(row.partitions),
        row.fingerprint,
        row.definition,
        row.queue,
        row.criticality,
        row.candidate,
        row.restorePoint,
      ],
    );
  }
}

/** In topological order. */
export async function readDatasets(tx: Tx, backfill: string): Promise<BackfillDataset[]> {
  const rows = await tx.query<Omit<BackfillDataset, "partitions"> & { partitions: string }>(
    `select dataset, ordinal, partitions::text as partitions, fingerprint, definition, queue, criticality, candidate,
       restore_point as "restorePoint", held, hold_reason as "holdReason", accepted
     from rederive.backfill_dataset where backfill = $1::text order by ordinal`,
    [backfill],
  );
  return rows.map((row) => ({ ...row, partitions: fromMultirange(row.partitions) }));
}

/**
 * Takes the holds off, after a person has decided: `accepted` where what was found is fine, not where it is to be
 * computed again. Returns the datasets that were held.
 */
export async function releaseHolds(tx: Tx, backfill: string, accepted: boolean): Promise<string[]> {
  const rows = await tx.query<{ dataset: string }>(
    `update rederive.backfill_dataset
     set held = false, hold_reason = null, held_at = null, drifted_at = null, accepted = $2::boolean
     where backfill = $1::text and (held or drifted_at is not null) returning dataset`,
    [backfill, accepted],
  );
  return rows.map((row) => row.dataset);
}

/**
 * Tables of backfills that came to their end and will not need them again, as far as they are still there. Another one
 * that continues a backfill needs them until it has come to its own end.
 */
export async function leftoverTables(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `select t.name from rederive.backfill_dataset d
     join rederive.backfill b on b.id = d.backfill
     cross join lateral (values (d.candidate), (d.restore_point)) as t (name)
     where b.state in ('cancelled', 'failed', 'finalized') and to_regclass(t.name) is not null
       -- The decision is canonical JSON, in which quotes within texts are escaped.
       and not exists (
         select from rederive.backfill n
         where n.state in ('planned', 'approved', 'running', 'paused', 'held', 'verified')
           and position(format('"continues":"%s"', b.id) in n.decision) > 0)`,
  );
  return rows.map((row) => row.name);
}

/** The decision that is stored; whoever acts on it recomputes its hash first. */
export function decisionOf(row: BackfillRow): Decision {
  return JSON.parse(row.decision) as Decision;
}
