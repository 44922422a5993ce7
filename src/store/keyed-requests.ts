/** Table `keyed_request`: what was answered to requests that came with a key of their own. Kept for a day. */
import type { Tx } from "../tx.ts";

export interface KeyedRequest {
  readonly person: string;
  /** Chosen by the client. */
  readonly key: string;
  /** Of method, path, query and body. */
  readonly hash: string;
}

export interface KeptAnswer {
  readonly status: number;
  readonly location: string | null;
  /** The text that was sent. */
  readonly body: string;
}

export interface KeyedRequestRow {
  readonly hash: string;
  /** Null where the request has not ended, or nobody knows how. */
  readonly answer: KeptAnswer | null;
}

/** True for the first of all requests with this key; the others find its row. */
export async function claimKey(tx: Tx, { person, key, hash }: KeyedRequest): Promise<boolean> {
  await tx.query("delete from rederive.keyed_request where at < clock_timestamp() - interval '1 day'");
  const rows = await tx.query(
    `insert into rederive.keyed_request (person, key, hash) values ($1::text, $2::text, $3::text)
     on conflict do nothing returning key`,
    [person, key, hash],
  );
  return rows.length > 0;
}

export async function readKeyedRequest(
  tx: Tx,
  { person, key }: Pick<KeyedRequest, "person" | "key">,
): Promise<KeyedRequestRow | undefined> {
  const [row] = await tx.query<{ hash: string; status: number | null; location: string | null; body: string | null }>(
    "select hash, status, location, body from rederive.keyed_request where person = $1::text and key = $2::text",
    [person, key],
  );
  if (row === undefined) return undefined;
  const { hash, status, location, body } = row;
  return { hash, answer: status === null || body === null ? null : { status, location, body } };
}

export async function keepAnswer(tx: Tx, { person, key }: KeyedRequest, answer: KeptAnswer): Promise<void> {
  await tx.query(
    `update rederive.keyed_request set status = $3::int4, location = $4::text, body = $5::text
     where person = $1::text and key = $2::text`,
    [person, key, answer.status, answer.location, answer.body],
  );
}

export async function releaseKey(tx: Tx, { person, key }: KeyedRequest): Promise<void> {
  await tx.query("delete from rederive.keyed_request where person = $1::text and key = $2::text", [person, key]);
}
