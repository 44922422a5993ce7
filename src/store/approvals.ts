/** Table `approval`: what people said of a plan. The database counts them itself as well (migration 0007). */
import type { Tx } from "../tx.ts";

export type ApprovedAct = "start" | "promote" | "rollback";
export type Verdict = "approved" | "changes_requested" | "commented";

export interface NewApproval {
  readonly backfill: string;
  readonly planHash: string;
  readonly requester: string;
  readonly act: ApprovedAct;
  readonly verdict: Verdict;
  readonly approver: string;
  readonly groups: readonly string[] | undefined;
  readonly token: string | undefined;
  readonly identity: string | undefined;
  readonly schemaHash: string;
  readonly diffDigest: string | undefined;
  readonly comment: string | undefined;
  readonly hours: number;
}

/** Times are ISO instants in UTC. */
export interface ApprovalRow {
  readonly id: string;
  readonly act: ApprovedAct;
  readonly verdict: Verdict;
  readonly approver: string;
  /** Owner groups that the approver speaks for; null for all. */
  readonly groups: readonly string[] | null;
  readonly planHash: string;
  readonly schemaHash: string;
  readonly diffDigest: string | null;
  readonly comment: string | null;
  readonly at: string;
  readonly expiresAt: string;
  readonly withdrawnAt: string | null;
  /** By the clock of Postgres. */
  readonly expired: boolean;
  /** The token that was used is revoked or has expired, or it or the identity has a lower role now. */
  readonly rightsLost: boolean;
}

const columns = `a.id::text as "id", a.act, a.verdict, a.approver, a.groups, a.plan_hash as "planHash",
  a.schema_hash as "schemaHash", a.diff_digest as "diffDigest", a.comment, ${iso("a.at")} as "at",
  ${iso("a.expires_at")} as "expiresAt", ${iso("a.withdrawn_at")} as "withdrawnAt",
  a.expires_at <= clock_timestamp() as "expired",
  a.token is not null and not exists (
    select from rederive.api_token t
    where t.id = a.token and t.revoked_at is null and (t.expires_at is null or t.expires_at > clock_timestamp())
      and t.role in ('approver', 'admin'))
  or a.identity is not null and not exists (
    select from rederive.identity i where i.id = a.identity and i.role in ('approver', 'admin')) as "rightsLost"`;

/** Gives the row's id. */
export async function insertApproval(tx: Tx, row: NewApproval): Promise<string> {
  const [inserted] = await tx.query<{ id: string }>(
    `insert into rederive.approval
       (backfill, plan_hash, requester, act, verdict, approver, groups, token, schema_hash, diff_digest, comment,
       identity, expires_at)
     values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text[], $8::text::int8, $9::text, $10::text,
       $11::text, $12::text::int8, clock_timestamp() + $13::int * interval '1 hour')
     returning id::text as "id"`,
    [
      row.backfill,
      row.planHash,
      row.requester,
      row.act,
      row.verdict,
      row.approver,
      row.groups === undefined ? null : [...row.groups],
      row.token ?? null,
      row.schemaHash,
      row.diffDigest ?? null,
      row.comment ?? null,
      row.identity ?? null,
      row.hours,
    ],
  );
  return (inserted as { id: string }).id;
}

/** Oldest first. */
export async function readApprovals(tx: Tx, backfill: string): Promise<ApprovalRow[]> {
  return tx.query<ApprovalRow>(`select ${columns} from rederive.approval a where a.backfill = $1::text order by a.id`, [
    backfill,
  ]);
}

/** Takes back what one person said of a backfill and has not taken back yet; gives the ids. */
export async function withdrawApprovals(tx: Tx, backfill: string, approver: string): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `update rederive.approval set withdrawn_at = clock_timestamp()
     where backfill = $1::text and approver = $2::text and verdict <> 'commented' and withdrawn_at is null
     returning id::text as "id"`,
    [backfill, approver],
  );
  return rows.map(({ id }) => id);
}

function iso(column: string): string {
  return `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
