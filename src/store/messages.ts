/** Table `message`: what leaves the system, in order for each target, at least once. */
import type { Tx } from "../tx.ts";

export type Channel = "openlineage" | "webhook";

export interface Message {
  readonly id: string;
  readonly target: string;
  readonly body: string;
  readonly attempts: number;
}

/** In the transaction that decided on it. */
export async function addMessage(tx: Tx, channel: Channel, target: string, body: string): Promise<void> {
  await tx.query("insert into rederive.message (channel, target, body) values ($1::text, $2::text, $3::text)", [
    ...[channel, target, body],
  ]);
}

/** Those that may be sent now, oldest first. One that waits to be tried again holds back what follows it. */
export async function dueMessages(tx: Tx, channel: Channel, limit: number): Promise<Message[]> {
  return tx.query<Message>(
    `select m.id::text as id, m.target, m.body, m.attempts from rederive.message m
     where m.channel = $1::text and not exists (
       select from rederive.message h where h.channel = m.channel and h.target = m.target and h.id <= m.id
         and h.next_at > clock_timestamp())
     order by m.id limit $2::int`,
    [channel, limit],
  );
}

export async function waitingMessages(tx: Tx, channel: Channel): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    "select count(*)::int as count from rederive.message where channel = $1::text",
    [channel],
  );
  return row?.count ?? 0;
}

export async function removeMessage(tx: Tx, id: string): Promise<void> {
  await tx.query("delete from rederive.message where id = $1::int8", [id]);
}

export async function postponeMessage(tx: Tx, id: string, args: { error: string; delayMs: number }): Promise<void> {
  await tx.query(
    `update rederive.message set attempts = attempts + 1, error = left($2::text, 500),
       next_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
     where id = $1::int8`,
    [id, args.error, args.delayMs],
  );
}

/** Gives up what could not be delivered for so long; returns how many. */
export async function dropOldMessages(tx: Tx, channel: Channel, olderThanMs: number): Promise<number> {
  const rows = await tx.query(
    `delete from rederive.message
     where channel = $1::text and created_at < clock_timestamp() - $2::float8 * interval '1 millisecond' returning id`,
    [channel, olderThanMs],
  );
  return rows.length;
}
