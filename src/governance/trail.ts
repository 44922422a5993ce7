/**
 * The audit trail as a source to verify: from the database, page by page, or from a file that was exported.
 *
 * A file has one JSON object a line: a header with where it begins, the links with their entries, entries that were not
 * chained yet, an end with what the file should hold, and a signed checkpoint of its head where a key was at hand.
 */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import { messageOf, RederiveError } from "../errors.ts";
import type { AuditRecord } from "../store/audit.ts";
import { chainPage, prunedCheckpoint, type Unchained, unchainedEntries, unchainedPage } from "../store/audit-chain.ts";
import type { Tx } from "../tx.ts";
import { genesis, type Position } from "./chain.ts";
import { type Checkpoint, keyName, requireSigned } from "./checkpoint.ts";
import { type ChainedEntry, type ChainSource, type ChainVerdict, verifyChain } from "./verify.ts";

const pageEntries = 5_000;
const format = "rederive-audit-trail/1";

export interface Trust {
  /** Checkpoints that were kept elsewhere; their signatures are checked first. */
  readonly checkpoints?: readonly Checkpoint[];
  /** Public keys of which one must have signed every checkpoint. Default: each is checked against its own. */
  readonly keys?: readonly string[];
}

export interface TrailVerdict extends ChainVerdict {
  readonly ok: boolean;
  /** Committed entries that the sequencer has not reached. They are no fault. */
  readonly unchained: { readonly entries: number; readonly oldestAt: string | null };
  /** What the chain was compared with, oldest first. */
  readonly checkpoints: readonly { readonly seq: number; readonly time: string; readonly key: string }[];
  /** Somebody said which keys may sign. */
  readonly trusted: boolean;
}

/** In one transaction of isolation repeatable read: entries that are chained meanwhile change nothing. */
export async function verifyTrail(tx: Tx, trust: Trust = {}): Promise<TrailVerdict> {
  const pruned = await basisOf(tx);
  const verdict = await verifyWith(chainSource(tx, pruned), pruned, trust);
  const unchained = await unchainedEntries(tx);
  return verdictOf(verdict.fault === null ? withLost(verdict, unchained) : verdict, unchained, pruned, trust);
}

/** The chain in the database, from its beginning or from after an earlier place in it. */
export function chainSource(tx: Tx, base: Position = genesis): ChainSource {
  return {
    base: { seq: base.seq, hash: base.hash },
    links: async function* () {
      // No entry has a smaller id, so the first page begins with the first link after the base.
      let after = { seq: base.seq, entry: "9223372036854775807" };
      for (;;) {
        const page = await chainPage(tx, after, pageEntries);
        yield* page;
        const last = page.at(-1);
        if (last === undefined || page.length < pageEntries) return;
        after = last;
      }
    },
  };
}

/** The checkpoint behind which the chain begins; undefined where nothing was pruned. */
export async function basisOf(tx: Tx): Promise<Checkpoint | undefined> {
  return (await prunedCheckpoint(tx)) as Checkpoint | undefined;
}

async function* unchainedOf(tx: Tx): AsyncIterable<AuditRecord> {
  let after = "0";
  for (;;) {
    const page = await unchainedPage(tx, after, pageEntries);
    yield* page;
    if (page.length < pageEntries) return;
    after = page.at(-1)?.id ?? after;
  }
}

/** What of a trail goes into a file. */
export interface TrailPart {
  /** The link before the first one. Default: where the chain begins. */
  readonly base?: Position | undefined;
  /** The last link; then nothing unchained is told. Default: all. */
  readonly through?: number | undefined;
  /** Entries of this backfill alone are shown; of the others the file has hashes, which prove its place among them. */
  readonly backfill?: string | undefined;
  /** Makes the checkpoint of the last link. */
  readonly sign?: ((head: Position) => Checkpoint) | undefined;
}

/** A trail as lines of a file. */
export async function* trailLines(tx: Tx, options: TrailPart = {}): AsyncIterable<string> {
  const pruned = options.base === undefined ? await basisOf(tx) : undefined;
  const source = chainSource(tx, options.base ?? pruned);
  let head = source.base;
  let unchained = 0;
  yield lineOf({ format, base: head, ...(pruned && { pruned }) });
  for await (const link of source.links()) {
    if (link.seq > (options.through ?? Number.POSITIVE_INFINITY)) break;
    head = { seq: link.seq, hash: link.hash };
    yield lineOf(shown(link, options.backfill));
  }
  if (options.through === undefined && options.backfill === undefined) {
    for await (const record of unchainedOf(tx)) {
      unchained += 1;
      yield lineOf({ unchained: record });
    }
  }
  yield lineOf({ end: head, unchained });
  if (options.sign) yield lineOf({ checkpoint: options.sign(head) });
}

function shown({ record, ...link }: ChainedEntry, backfill: string | undefined): object {
  const hidden = backfill !== undefined && record != null && record.backfill !== backfill;
  return hidden ? link : { ...link, record };
}

/** A file that `rederive audit export` or `prune` has written; without a server. */
export async function verifyTrailFile(path: string, trust: Trust = {}): Promise<TrailVerdict> {
  const about = await outlineOf(path);
  const own = about.checkpoint === undefined ? [] : [about.checkpoint];
  const all: Trust = { ...trust, checkpoints: [...(trust.checkpoints ?? []), ...own] };
  const verdict = await verifyWith(fileSource(path, about.base), about.pruned, all);
  const fault = verdict.fault ?? faultOfEnd(about, verdict.head);
  return verdictOf({ ...verdict, fault }, about.unchained, about.pruned, all);
}

/** Where an entry was chained once and its link is gone, the end of the chain was cut off. */
function withLost(verdict: ChainVerdict, { lost }: Unchained): ChainVerdict {
  if (lost === 0) return verdict;
  const seq = verdict.head.seq + 1;
  const message = `the chain ends at seq ${seq - 1}, and ${lost} entries beyond it do not wait to be chained: its tail was cut off`;
  return { ...verdict, fault: { kind: "truncated", seq, message } };
}

async function verifyWith(source: ChainSource, pruned: Checkpoint | undefined, trust: Trust): Promise<ChainVerdict> {
  const signed = [...(pruned ? [pruned] : []), ...(trust.checkpoints ?? [])];
  for (const checkpoint of signed) requireSigned(checkpoint, trust.keys);
  return verifyChain(source, signed);
}

function verdictOf(
  verdict: ChainVerdict,
  { entries, oldestAt }: TrailVerdict["unchained"],
  pruned: Checkpoint | undefined,
  trust: Trust,
): TrailVerdict {
  const checkpoints = [...(pruned ? [pruned] : []), ...(trust.checkpoints ?? [])]
    .sort((a, b) => a.seq - b.seq)
    .map(({ seq, time, publicKey }) => ({ seq, time, key: keyName(publicKey) }));
  return {
    ok: verdict.fault === null,
    ...verdict,
    unchained: { entries, oldestAt },
    checkpoints,
    trusted: (trust.keys ?? []).length > 0,
  };
}

interface Outline {
  readonly base: Position;
  readonly pruned: Checkpoint | undefined;
  readonly end: Position | undefined;
  readonly unchained: { entries: number; oldestAt: string | null };
  readonly announced: number;
  readonly checkpoint: Checkpoint | undefined;
}

interface Line {
  readonly format?: string;
  readonly base?: Position;
  readonly pruned?: Checkpoint;
  readonly seq?: number;
  readonly unchained?: AuditRecord | number;
  readonly end?: Position;
  readonly checkpoint?: Checkpoint;
}

async function outlineOf(path: string): Promise<Outline> {
  let base: Position | undefined;
  let pruned: Checkpoint | undefined;
  let end: Position | undefined;
  let checkpoint: Checkpoint | undefined;
  let announced = 0;
  const unchained: Outline["unchained"] = { entries: 0, oldestAt: null };
  for await (const line of linesOf(path)) {
    if (line.format === format) {
      base = line.base;
      pruned = line.pruned;
    } else if (line.end !== undefined) {
      end = line.end;
      announced = Number(line.unchained ?? 0);
    } else if (line.checkpoint !== undefined) checkpoint = line.checkpoint;
    else if (typeof line.unchained === "object") {
      unchained.entries += 1;
      unchained.oldestAt ??= line.unchained.at;
    }
    if (base === undefined) break;
  }
  if (base === undefined) throw notATrail(path, `it does not begin with "${format}"`);
  return { base, pruned, end, unchained, announced, checkpoint };
}

/** Links after the end of what the file says it holds are refused like those that are missing. */
function faultOfEnd({ end, unchained, announced }: Outline, head: Position): ChainVerdict["fault"] {
  const seq = head.seq + 1;
  if (end === undefined) return { kind: "truncated", seq, message: `the file breaks off after seq ${head.seq}` };
  if (end.seq > head.seq) {
    const message = `the file ends at seq ${head.seq} and says that it holds seq ${end.seq}: its tail was cut off`;
    return { kind: "truncated", seq, through: end.seq, message };
  }
  if (end.seq < head.seq || end.hash !== head.hash) {
    return { kind: "inserted", seq: end.seq + 1, message: `the file says that it ends at seq ${end.seq}` };
  }
  if (unchained.entries === announced) return null;
  const message = `the file has ${unchained.entries} unchained entries and says that it holds ${announced}`;
  return { kind: unchained.entries > announced ? "inserted" : "truncated", seq, message };
}

function fileSource(path: string, base: Position): ChainSource {
  return {
    base,
    links: async function* () {
      for await (const line of linesOf(path)) if (line.seq !== undefined) yield line as ChainedEntry;
    },
  };
}

/** One object a line; a name that ends in .gz is unpacked on the way. */
async function* linesOf(path: string): AsyncIterable<Line> {
  const file = createReadStream(path);
  const input = path.endsWith(".gz") ? file.pipe(createGunzip()) : file;
  // Neither iterator nor interface tell of an error of the file below the decompression.
  file.on("error", (error) => input.destroy(error));
  let number = 0;
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number += 1;
      if (line.trim() !== "") yield parseLine(line);
    }
  } catch (error) {
    throw notATrail(path, `line ${number}: ${messageOf(error)}`);
  } finally {
    file.destroy();
  }
}

function parseLine(line: string): Line {
  const value = JSON.parse(line) as Line | null;
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("it is no object");
  return value;
}

function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function notATrail(path: string, why: string): RederiveError {
  return new RederiveError(
    "verification_failed",
    `${path} is not a trail that "rederive audit export" has written: ${why}`,
  );
}
