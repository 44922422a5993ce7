/**
 * The audit trail as people use it: read it, verify it, sign where it stands, and take out what is old. What an act
 * writes is in the act's own use case.
 */
import { auditKeyFrom } from "../config.ts";
import { RederiveError } from "../errors.ts";
import { genesis, type Position } from "../governance/chain.ts";
import { type Checkpoint, keyName, makeCheckpoint, type Signer, signerOf } from "../governance/checkpoint.ts";
import { writeNewFile } from "../governance/files.ts";
import { chainIfAllowed, chainPending } from "../governance/sequencer.ts";
import { type TrailVerdict, type Trust, trailLines, verifyTrail, verifyTrailFile } from "../governance/trail.ts";
import { appendAudit } from "../store/audit.ts";
import { chainHead, lastBefore, lockChain, pruneChain } from "../store/audit-chain.ts";
import { auditLog, type LoggedRecord } from "../store/audit-log.ts";
import type { Database, Tx } from "../tx.ts";
import { type Context, requireBackfill } from "./context.ts";

export interface LogInput {
  readonly backfill?: string | undefined;
  readonly actor?: string | undefined;
  /** Instant with its offset (2026-01-31T00:00Z). */
  readonly since?: string | undefined;
  /** Id of an entry: those before it. For the next page. */
  readonly before?: string | undefined;
  /** Default 100, at most 1,000. */
  readonly limit?: number | undefined;
}

export interface LogEntry extends Omit<LoggedRecord, "details"> {
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AuditLog {
  /** Newest first. */
  readonly entries: readonly LogEntry[];
  /** `before` of the next page; null where there is none. */
  readonly next: string | null;
}

export interface PruneInput {
  /** Entries older than this instant go, as far as all before them do. */
  readonly before: string;
  /** A file that does not exist yet; what goes is written there first. */
  readonly archive: string;
  readonly reason: string;
}

export interface PruneReport {
  /** Entries that are gone. */
  readonly pruned: number;
  /** What the chain now begins behind; null where nothing was old enough. */
  readonly checkpoint: Checkpoint | null;
}

const largestPage = 1_000;

/** Throws `not_found` for a backfill that does not exist, `usage` for a bad instant, id or limit. */
export async function log({ database, sight }: Context, input: LogInput): Promise<AuditLog> {
  const limit = input.limit ?? 100;
  if (!Number.isInteger(limit) || limit < 1 || limit > largestPage) {
    throw new RederiveError("usage", `limit is 1 to ${largestPage}; got ${limit}`);
  }
  if (input.before !== undefined && !/^\d{1,18}$/.test(input.before)) {
    throw new RederiveError("usage", `before is the id of an entry; got "${input.before}"`);
  }
  if (input.backfill !== undefined) await requireBackfill(database, input.backfill);
  const since = input.since === undefined ? undefined : instantOf(input.since);
  const rows = await auditLog(database, {
    ...{ ...input, since, limit: limit + 1 },
    touching: sight && [...sight.datasets],
  });
  const entries = rows.slice(0, limit).map(told);
  return { entries, next: rows.length > limit ? (entries.at(-1)?.id ?? null) : null };
}

function told({ details, ...record }: LoggedRecord): LogEntry {
  return { ...record, details: JSON.parse(details) as LogEntry["details"] };
}

/** Online. What is wrong is in the verdict; a checkpoint that is not signed as it should be is `verification_failed`. */
export async function verifyAudit({ database }: Context, trust: Trust): Promise<TrailVerdict> {
  return database.transaction((tx) => verifyTrail(tx, trust), { isolation: "repeatable read" });
}

/** Chains what is committed and signs where the chain stands then. Throws `configuration` without a key. */
export async function checkpoint({ database }: Context): Promise<Checkpoint> {
  const signer = requireSigner();
  await chainIfAllowed(database);
  return makeCheckpoint(signer, await headOf(database), new Date());
}

/** The whole trail into a new file, in one snapshot; with a signed checkpoint of its head where there is a key. */
export async function exportTrail({ database }: Context, path: string): Promise<void> {
  await chainIfAllowed(database);
  const sign = signing(signerFrom());
  await database.transaction((tx) => writeNewFile(path, trailLines(tx, { sign })), { isolation: "repeatable read" });
}

/**
 * Archives and removes old entries. The archive ends with a signed checkpoint, which is kept in the database as what the
 * chain begins behind, and it is verified before anything goes. A chain with a fault is not pruned.
 */
export async function prune({ database, actor }: Context, input: PruneInput): Promise<PruneReport> {
  if (input.reason.trim() === "") throw new RederiveError("usage", "prune needs a reason, for the audit trail");
  const before = instantOf(input.before);
  const signer = requireSigner();
  await chainPending(database);
  return database.transaction(async (tx) => {
    await lockChain(tx);
    const last = await lastBefore(tx, before);
    if (last === undefined) return { pruned: 0, checkpoint: null };
    await requireRight(await verifyTrail(tx));
    const signed = makeCheckpoint(signer, last, new Date());
    await writeNewFile(input.archive, trailLines(tx, { through: last.seq, sign: () => signed }));
    await requireRight(await verifyTrailFile(input.archive, { keys: [signer.publicKey] }));
    const pruned = await pruneChain(tx, { seq: last.seq, checkpoint: signed, actor: actor.name });
    const details = { before, through: last.seq, hash: last.hash, entries: pruned, key: keyName(signer.publicKey) };
    await appendAudit(tx, { actor: actor.name, act: "audit.prune", reason: input.reason, details });
    return { pruned, checkpoint: signed };
  });
}

async function headOf(tx: Tx): Promise<Position> {
  return (await chainHead(tx)) ?? genesis;
}

export function signing(signer: Signer | undefined): ((head: Position) => Checkpoint) | undefined {
  return signer && ((head) => makeCheckpoint(signer, head, new Date()));
}

/** The key that this process signs with, where it has one. */
export function signerFrom(): Signer | undefined {
  const pem = auditKeyFrom();
  return pem === undefined ? undefined : signerOf(pem);
}

function requireSigner(): Signer {
  const signer = signerFrom();
  if (signer !== undefined) return signer;
  throw new RederiveError(
    "configuration",
    'there is no key to sign with: make one with "rederive audit key --out <file>" and set REDERIVE_AUDIT_KEY_FILE to it',
  );
}

async function requireRight({ ok, fault }: TrailVerdict): Promise<void> {
  if (ok) return;
  throw new RederiveError("verification_failed", `nothing was pruned: ${fault?.message ?? "the chain is not right"}`, {
    details: { fault },
  });
}

function instantOf(text: string): string {
  const time = /T.*(Z|[+-]\d\d:?\d\d)$/i.test(text) || /^\d{4}-\d\d-\d\d$/.test(text) ? new Date(text) : undefined;
  if (time !== undefined && !Number.isNaN(time.getTime())) return time.toISOString();
  throw new RederiveError("usage", `"${text}" is not a time; write 2026-01-31 (UTC) or 2026-01-31T12:00:00Z`);
}

/** Writes a checkpoint beside the database now and then; returns what to call after the trail was chained. */
export function checkpointKeeper(
  database: Database,
  options: { readonly everyMs: number; readonly write: (checkpoint: Checkpoint) => Promise<void> },
): () => Promise<void> {
  const signer = requireSigner();
  let written = -1;
  let due = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() < due) return;
    const head = await headOf(database);
    if (head.seq > written) await options.write(makeCheckpoint(signer, head, new Date()));
    written = head.seq;
    due = performance.now() + options.everyMs;
  };
}
