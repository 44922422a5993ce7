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
}

export interface IdentityRow {
  readonly id: string;
  readonly person: string;
}

/** The row, where nothing in it has changed and it was seen within the last minute: reading must not become a write. */
export async function freshIdentity(tx: Tx, seen: SeenIdentity): Promise<IdentityRow | undefined> {
  const [row] = await tx.query<IdentityRow>(
    `select id::text as "id", person from rederive.identity
     where issuer = $1::text and subject = $2::text and role is not distinct from $3::text
       and groups is not distinct from $4::text[] and seen_at > clock_timestamp() - interval '1 minute'`,
    [seen.issuer, seen.subject, seen.role, seen.groups],
  );
  return row;
}

/** Two people of one name are told apart by their subjects. */
export async function saveIdentity(tx: Tx, seen: SeenIdentity): Promise<IdentityRow> {
  const [row] = await tx.query<IdentityRow>(
    `insert into rederive.identity (issuer, subject, person, role, groups)
     select $1::text, $2::text,
       case when exists (select from rederive.identity where person = $3::text)
         then $3::text || ' (' || $2::text || ')' else $3::text end, $4::text, $5::text[]
     on conflict (issuer, subject) do update
       set role = excluded.role, groups = excluded.groups, seen_at = clock_timestamp()
     returning id::text as "id", person`,
    [seen.issuer, seen.subject, seen.person, seen.role, seen.groups],
  );
  return row as IdentityRow;
}
