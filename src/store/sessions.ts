/** Table `session`: browsers that somebody has logged in with. Times are the clock of Postgres. */
import type { Tx } from "../tx.ts";

export interface NewSession {
  /** SHA-256 of what the cookie holds. */
  readonly hash: string;
  readonly identity: string;
  /** SHA-256 of the login's state. */
  readonly state: string;
}

export interface SessionRow {
  readonly id: string;
  readonly identity: string;
  readonly person: string;
  readonly role: string;
  readonly groups: readonly string[] | null;
  readonly expiresAt: string;
}

const idle = "interval '30 minutes'";
const longest = "interval '12 hours'";
const isAlive = `s.seen_at > clock_timestamp() - ${idle} and s.created_at > clock_timestamp() - ${longest}`;

/** False where the login has led to a session before. */
export async function insertSession(tx: Tx, { hash, identity, state }: NewSession): Promise<boolean> {
  const rows = await tx.query(
    `insert into rederive.session (hash, identity, state) values ($1::text, $2::text::int8, $3::text)
     on conflict (state) do nothing returning id`,
    [hash, identity, state],
  );
  return rows.length > 0;
}

/** Undefined where it is over, or its person is disabled or has no role here any more. */
export async function readSession(tx: Tx, hash: string): Promise<SessionRow | undefined> {
  const [row] = await tx.query<SessionRow>(
    `select s.id::text as "id", i.id::text as "identity", i.person, i.role, i.groups,
       to_char((s.created_at + ${longest}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "expiresAt"
     from rederive.session s join rederive.identity i on i.id = s.identity
     where s.hash = $1::text and ${isAlive} and i.role is not null and i.disabled_at is null`,
    [hash],
  );
  return row;
}

/** Notes a use, at most once a minute: reading must not become a write a request. */
export async function touchSession(tx: Tx, id: string): Promise<void> {
  await tx.query(
    `update rederive.session set seen_at = clock_timestamp()
     where id = $1::text::int8 and seen_at < clock_timestamp() - interval '1 minute'`,
    [id],
  );
}

export async function deleteSession(tx: Tx, hash: string): Promise<void> {
  await tx.query("delete from rederive.session where hash = $1::text", [hash]);
}

export async function deleteSessionsOf(tx: Tx, identity: string): Promise<void> {
  await tx.query("delete from rederive.session where identity = $1::text::int8", [identity]);
}

/** A login may still be ended a second time for a while; so a session that is over is kept as long as that. */
export async function deleteExpiredSessions(tx: Tx): Promise<void> {
  await tx.query(
    `delete from rederive.session s where not (${isAlive}) and s.created_at < clock_timestamp() - interval '1 hour'`,
  );
}
