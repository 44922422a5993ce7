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
}

const columns = `id::text as "id", person, role, groups`;

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
       role = case when excluded.issued_at >= known.issued_at then excluded.role else known.role end,
       groups = case when excluded.issued_at >= known.issued_at then excluded.groups else known.groups end,
       issued_at = greatest(known.issued_at, excluded.issued_at), seen_at = clock_timestamp()
     returning ${columns}`,
    [seen.issuer, seen.subject, seen.person, seen.role, seen.groups, seen.issuedAt],
  );
  return row as IdentityRow;
}
