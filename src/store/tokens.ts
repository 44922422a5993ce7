/** Table `api_token`: the SHA-256 of each API token, its role and its life. The token itself is never stored. */
import type { Tx } from "../tx.ts";

export interface NewToken {
  readonly name: string;
  readonly role: string;
  /** Null: whoever is called like the token. */
  readonly person: string | null;
  /** Owner groups; null for all. */
  readonly groups: readonly string[] | null;
  readonly prefix: string;
  readonly hash: string;
  readonly createdBy: string;
  /** ISO instant; null for no expiry. */
  readonly expiresAt: string | null;
}

/** A token as people may see it: without its hash. Times are ISO instants in UTC. */
export interface TokenRow {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  /** Whose it is. */
  readonly person: string;
  /** Owner groups that the person speaks for; null for all. */
  readonly groups: readonly string[] | null;
  readonly prefix: string;
  readonly createdBy: string;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly revokedAt: string | null;
}

export interface TokenCandidate {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly person: string;
  readonly groups: readonly string[] | null;
  readonly hash: string;
  /** Neither revoked nor expired, by the clock of Postgres. */
  readonly usable: boolean;
}

const visibleColumns = `
  id::text as "id", name, role, coalesce(person, name) as "person", groups, prefix, created_by as "createdBy", ${iso("created_at")} as "createdAt",
  ${iso("expires_at")} as "expiresAt", ${iso("last_used_at")} as "lastUsedAt", ${iso("revoked_at")} as "revokedAt"`;

export async function insertToken(tx: Tx, token: NewToken): Promise<TokenRow> {
  const rows = await tx.query<TokenRow>(
    `insert into rederive.api_token (name, role, prefix, hash, created_by, expires_at, person, groups)
     values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text::timestamptz, $7::text, $8::text[])
     returning ${visibleColumns}`,
    [
      token.name,
      token.role,
      token.prefix,
      token.hash,
      token.createdBy,
      token.expiresAt,
      token.person,
      token.groups === null ? null : [...token.groups],
    ],
  );
  return rows[0] as TokenRow;
}

/** Prefixes are random and may collide, so there can be more than one. */
export async function tokensWithPrefix(tx: Tx, prefix: string): Promise<TokenCandidate[]> {
  return await tx.query<TokenCandidate>(
    `select id::text as "id", name, role, coalesce(person, name) as "person", groups, hash,
            revoked_at is null and (expires_at is null or expires_at > now()) as "usable"
     from rederive.api_token where prefix = $1::text`,
    [prefix],
  );
}

/** Notes a use, at most once a minute for each token: reading must not become a write a request. */
export async function touchToken(tx: Tx, id: string): Promise<void> {
  await tx.query(
    `update rederive.api_token set last_used_at = now()
     where id = $1::text::int8 and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
    [id],
  );
}

/** Whether anybody could make a token with one: before that, whoever has the database makes the first. */
export async function hasAdminToken(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ found: boolean }>(
    `select exists (select from rederive.api_token where role = 'admin' and revoked_at is null
       and (expires_at is null or expires_at > now())) as found`,
  );
  return row?.found === true;
}

/** Newest first. */
export async function listTokens(tx: Tx): Promise<TokenRow[]> {
  return await tx.query<TokenRow>(`select ${visibleColumns} from rederive.api_token order by id desc`);
}

/** Undefined where there is no such token. Revoking twice keeps the first time. */
export async function revokeToken(tx: Tx, id: string): Promise<TokenRow | undefined> {
  const rows = await tx.query<TokenRow>(
    `update rederive.api_token set revoked_at = coalesce(revoked_at, now()) where id = $1::text::int8
     returning ${visibleColumns}`,
    [id],
  );
  return rows[0];
}

function iso(column: string): string {
  return `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
