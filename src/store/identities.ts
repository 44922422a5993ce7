/** Table `identity`: people whom an OpenID issuer vouched for, with what they might do when they were last seen. */
import type { Tx } from "../tx.ts";

export interface SeenIdentity {
  readonly issuer: string;
  readonly subject: string;
  /** Of somebody who comes for the first time; the row keeps it. */
  readonly person: string;
  readonly role: string | null;
  /** Owner groups; null for all. */
  readonly groups: readonly string[] | null;
  /** When the token that says so was issued, in seconds since 1970. */
  readonly issuedAt: number;
}

export interface IdentityRow {
  readonly id: string;
  readonly person: string;
  /** What the newest token says, which may not be the one that was shown. */
  readonly role: string | null;
  readonly groups: readonly string[] | null;
  readonly disabled: boolean;
}

/** An identity as admins see it. Times are ISO instants in UTC. */
export interface IdentityReport {
  readonly id: string;
  readonly issuer: string;
  readonly subject: string;
  readonly person: string;
  readonly role: string | null;
  readonly groups: readonly string[] | null;
  readonly seenAt: string;
  readonly disabledAt: string | null;
}

const columns = `id::text as "id", person, role, groups, disabled_at is not null as "disabled"`;

const reported = `id::text as "id", issuer, subject, person, role, groups, ${iso("seen_at")} as "seenAt",
  ${iso("disabled_at")} as "disabledAt"`;

/** The row, where nothing in it has changed and it was seen within the last minute: reading must not become a write. */
export async function freshIdentity(tx: Tx, seen: SeenIdentity): Promise<IdentityRow | undefined> {
  const [row] = await tx.query<IdentityRow>(
    `select ${columns} from rederive.identity
     where issuer = $1::text and subject = $2::text and role is not distinct from $3::text
       and groups is not distinct from $4::text[] and seen_at > clock_timestamp() - interval '1 minute'`,
    [seen.issuer, seen.subject, seen.role, seen.groups],
  );
  return row;
}

/** Two people of one name are told apart by their subjects. An older token changes nothing but when they were seen. */
export async function saveIdentity(tx: Tx, seen: SeenIdentity): Promise<IdentityRow> {
  const [row] = await tx.query<IdentityRow>(
    `insert into rederive.identity as known (issuer, subject, person, role, groups, issued_at)
     select $1::text, $2::text,
       case when exists (select from rederive.identity where person = $3::text)
         then $3::text || ' (' || $2::text || ')' else $3::text end, $4::text, $5::text[], to_timestamp($6::float8)
     on conflict (issuer, subject) do update set
       role = case when known.disabled_at is null and excluded.issued_at >= known.issued_at
         then excluded.role else known.role end,
       groups = case when excluded.issued_at >= known.issued_at then excluded.groups else known.groups end,
       issued_at = greatest(known.issued_at, excluded.issued_at), seen_at = clock_timestamp()
     returning ${columns}`,
    [seen.issuer, seen.subject, seen.person, seen.role, seen.groups, seen.issuedAt],
  );
  return row as IdentityRow;
}

/** By name. */
export async function listIdentities(tx: Tx): Promise<IdentityReport[]> {
  return await tx.query<IdentityReport>(`select ${reported} from rederive.identity order by person collate "C"`);
}

/** Without a role, what they approved does not count. Undefined where there is no such person; twice is once. */
export async function disableIdentity(tx: Tx, person: string): Promise<IdentityReport | undefined> {
  const [row] = await tx.query<IdentityReport>(
    `update rederive.identity set role = null, disabled_at = coalesce(disabled_at, clock_timestamp())
     where person = $1::text returning ${reported}`,
    [person],
  );
  return row;
}

/** The role comes back with the next token. Undefined where there is no such person. */
export async function enableIdentity(tx: Tx, person: string): Promise<IdentityReport | undefined> {
  const [row] = await tx.query<IdentityReport>(
    `update rederive.identity set disabled_at = null where person = $1::text returning ${reported}`,
    [person],
  );
  return row;
}

function iso(column: string): string {
  return `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
