/** What was recorded of one backfill, page by page, for its evidence bundle. Everything as text, numbers as decimals. */
import type { Tx } from "../tx.ts";
import { recordColumns } from "./audit-chain.ts";

/** A row of a page; `id` orders the pages and is part of the evidence. */
export interface EvidenceRow {
  readonly id: string;
  readonly [column: string]: string | null;
}

const at = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

const statements = {
  stamps: `select s.id::text, s.dataset, s.partition::text, s.task::text, s.epoch::text, s.fingerprint, s.definition,
      s.inputs::text, s.rows_read::text as "rowsRead", s.rows_written::text as "rowsWritten",
      s.hash_algorithm as "hashAlgorithm", s.output_hash as "outputHash", s.checks::text, s.worker, s.trace_id as "traceId",
      ${at("s.started_at")} as "startedAt", ${at("s.finished_at")} as "finishedAt",
      s.adopted_from::text as "adoptedFrom"
    from rederive.stamp s where s.backfill = $1::text and s.id > $2::int8 order by s.id limit $3::int`,
  checks: `select c.id::text, c.dataset, c.partition::text, c.name, c.severity, c.failures::text, c.evidence::text,
      ${at("c.created_at")} as "createdAt"
    from rederive.check_result c where c.backfill = $1::text and c.id > $2::int8 order by c.id limit $3::int`,
  audit: `select c.seq::text, ${recordColumns}
    from rederive.audit a left join rederive.audit_chain c on c.entry = a.id
    where a.backfill = $1::text and a.id > $2::int8 order by a.id limit $3::int`,
} as const;

export type EvidenceTable = keyof typeof statements;

/** Rows after an id, in order. */
export async function evidencePage(
  tx: Tx,
  table: EvidenceTable,
  args: { readonly backfill: string; readonly after: string; readonly limit: number },
): Promise<EvidenceRow[]> {
  return tx.query<EvidenceRow>(statements[table], [args.backfill, args.after, args.limit]);
}

/** What was stamped, in sum. */
export interface StampSum {
  readonly dataset: string;
  readonly partitions: string;
  readonly rows: string;
  readonly firstAt: string;
  readonly lastAt: string;
}

export async function stampSums(tx: Tx, backfill: string): Promise<StampSum[]> {
  return tx.query<StampSum>(
    `select dataset, count(*)::text as partitions, sum(rows_written)::text as rows,
       ${at("min(started_at)")} as "firstAt", ${at("max(finished_at)")} as "lastAt"
     from rederive.stamp where backfill = $1::text group by dataset order by dataset`,
    [backfill],
  );
}

/** The first place in the chain that an entry of the backfill has; undefined where none is chained. */
export async function firstSeq(tx: Tx, backfill: string): Promise<number | undefined> {
  const [row] = await tx.query<{ seq: number | null }>(
    `select min(c.seq)::float8 as seq from rederive.audit a join rederive.audit_chain c on c.entry = a.id
     where a.backfill = $1::text`,
    [backfill],
  );
  return row?.seq ?? undefined;
}

/** The link with a number; undefined where it was pruned or never was. */
export async function linkAt(
  tx: Tx,
  seq: number,
): Promise<{ readonly seq: number; readonly hash: string } | undefined> {
  const [row] = await tx.query<{ seq: number; hash: string }>(
    "select seq::float8 as seq, hash from rederive.audit_chain where seq = $1::int8",
    [seq],
  );
  return row;
}
