/**
 * Table `message`: what leaves the system, in order for each target, at least once. What its receiver refused for good is
 * kept beside it for a while (`failed_at`), for people to see.
 */
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
     where m.channel = $1::text and m.failed_at is null and not exists (
       select from rederive.message h where h.channel = m.channel and h.target = m.target and h.id <= m.id
         and h.failed_at is null and h.next_at > clock_timestamp())
     order by m.id limit $2::int`,
    [channel, limit],
  );
}

export async function waitingMessages(tx: Tx, channel: Channel): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    "select count(*)::int as count from rederive.message where channel = $1::text and failed_at is null",
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

/** Its receiver will never take it. */
export async function failMessage(tx: Tx, id: string, error: string): Promise<void> {
  await tx.query(
    `update rederive.message set attempts = attempts + 1, error = left($2::text, 500), failed_at = clock_timestamp()
     where id = $1::int8`,
    [id, error],
  );
}

/** Gives up what could not be delivered for so long, and forgets what failed then; returns how many were given up. */
export async function dropOldMessages(tx: Tx, channel: Channel, olderThanMs: number): Promise<number> {
  const rows = await tx.query<{ failed: boolean }>(
    `delete from rederive.message
     where channel = $1::text and created_at < clock_timestamp() - $2::float8 * interval '1 millisecond'
     returning failed_at is not null as failed`,
    [channel, olderThanMs],
  );
  return rows.filter(({ failed }) => !failed).length;
}

/** Where messages do not get through. */
export interface UndeliveredMessages {
  readonly channel: Channel;
  readonly target: string;
  /** They failed at least once and are tried again. */
  readonly waiting: number;
  /** They were refused for good. */
  readonly refused: number;
  /** Of the newest that was refused, or else of the newest that waits. */
  readonly error: string;
}

export async function undeliveredMessages(tx: Tx): Promise<UndeliveredMessages[]> {
  return tx.query<UndeliveredMessages>(
    `select channel, target, (count(*) filter (where failed_at is null))::int as waiting,
       (count(*) filter (where failed_at is not null))::int as refused,
       (array_agg(error order by failed_at desc nulls last, id desc))[1] as error
     from rederive.message where error is not null group by channel, target order by channel, target`,
  );
}
