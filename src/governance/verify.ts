/**
 * Verifies a chain of the audit trail: pure, over any source that can be read again, so that it is the same online and
 * from a file.
 *
 * One pass computes every hash again and stops at the first link that is not what was chained. A second pass then looks
 * for where its parts came from, which tells what was done: an entry edited, deleted, inserted, moved, or a second
 * branch. A tail that was cut off leaves no trace in the chain itself; a checkpoint kept elsewhere shows it, and shows a
 * chain that somebody computed anew as well.
 */
import type { AuditRecord } from "../store/audit.ts";
import type { LinkRow } from "../store/audit-chain.ts";
import { entryHash, linkHash, type Position } from "./chain.ts";

export type FaultKind = "edited" | "deleted" | "inserted" | "reordered" | "forked" | "truncated";

export interface Fault {
  readonly kind: FaultKind;
  /** The first place that is not what was chained. */
  readonly seq: number;
  /** The last one, where several in a row are known to be wrong. */
  readonly through?: number;
  readonly message: string;
}

/** A link with its entry: null where the entry is missing, undefined where the source shows hashes alone. */
export interface ChainedEntry extends LinkRow {
  readonly record: AuditRecord | null | undefined;
}

export interface ChainSource {
  /** The last link before the first one of the source. */
  readonly base: Position;
  /** In order of `seq`. May be called more than once. */
  links(): AsyncIterable<ChainedEntry>;
}

export interface ChainVerdict {
  /** Where the chain begins; `base.seq` + 1 is its first link. */
  readonly base: Position;
  /** The last link that was found to be right. */
  readonly head: Position;
  /** Null where everything is as it was chained. */
  readonly fault: Fault | null;
}

/** `checkpoints` in any order; those before the source's base say nothing about it. */
export async function verifyChain(source: ChainSource, checkpoints: readonly Position[] = []): Promise<ChainVerdict> {
  const { base } = source;
  const due = [...checkpoints].sort((a, b) => a.seq - b.seq).filter(({ seq }) => seq >= base.seq);
  let head = base;
  const verdict = (fault: Fault | null): ChainVerdict => ({ base, head, fault });
  const contradicted = (): Fault | null => {
    while (due[0]?.seq === head.seq) {
      const checkpoint = due.shift() as Position;
      if (checkpoint.hash !== head.hash) return otherBranch(checkpoint, base);
    }
    return null;
  };
  const atBase = contradicted();
  if (atBase) return verdict(atBase);
  for await (const link of source.links()) {
    if (!isRight(link, head)) return verdict(await diagnose(source, head, link));
    head = { seq: link.seq, hash: link.hash };
    const branched = contradicted();
    if (branched) return verdict(branched);
  }
  const missing = due.at(-1);
  return verdict(missing === undefined ? null : cutOff(head, missing.seq));
}

function isRight(link: ChainedEntry, head: Position): boolean {
  return link.seq === head.seq + 1 && link.prevHash === head.hash && isWhole(link);
}

/** The link's own hashes are right, wherever it stands. */
function isWhole(link: ChainedEntry): boolean {
  return linkHash(link) === link.hash && (link.record === undefined || contentOf(link) === link.entryHash);
}

function contentOf({ record }: ChainedEntry): string | undefined {
  return record ? entryHash(record) : undefined;
}

function otherBranch({ seq }: Position, base: Position): Fault {
  const message = `seq ${seq} is not what the checkpoint says: entries between ${base.seq + 1} and ${seq} were replaced and chained anew`;
  return { kind: "forked", seq, message };
}

function cutOff(head: Position, checkpoint: number): Fault {
  const message = `the chain ends at seq ${head.seq}, and a checkpoint knows seq ${checkpoint}: its tail was cut off`;
  return { kind: "truncated", seq: head.seq + 1, through: checkpoint, message };
}

/** What the second pass finds about the link that is wrong, or about the place where it stands. */
interface Finds {
  /** Where the link stands that this one was chained upon. */
  readonly predecessor: number | undefined;
  /** Where the link stands that belongs here by its own hashes. */
  readonly rightful: number | undefined;
  /** Where the entry's content was chained, or the content that this link was made for. */
  readonly swapped: number | undefined;
}

async function diagnose(source: ChainSource, head: Position, link: ChainedEntry): Promise<Fault> {
  const seq = head.seq + 1;
  if (link.seq > seq) return deleted(seq, link.seq - 1, "there is no such link");
  if (link.seq < seq) return { kind: "forked", seq: link.seq, message: `seq ${link.seq} is there twice` };
  const whole = linkHash(link) === link.hash;
  const finds = await look(source, head, link);
  if (link.prevHash === head.hash) return whole ? wrongEntry(link, finds) : wrongLink(seq, finds);
  return brokenLink(source.base, head, link, whole, finds);
}

/** The link is right, and its entry is not the one that it was made for. */
function wrongEntry(link: ChainedEntry, { swapped }: Finds): Fault {
  const { seq } = link;
  if (link.record === null) return deleted(seq, seq, `entry ${link.entry} is missing`);
  if (swapped !== undefined) return reordered(seq, `it has the entry that was chained as seq ${swapped}`);
  return { kind: "edited", seq, message: `entry ${link.entry} at seq ${seq} was edited after it was chained` };
}

/** It follows the link before it, and its own hash is wrong. */
function wrongLink(seq: number, { rightful, swapped }: Finds): Fault {
  if (rightful !== undefined) return inserted(seq, rightful - 1, rightful);
  if (swapped !== undefined) return reordered(seq, `its entry now stands at seq ${swapped}`);
  return { kind: "edited", seq, message: `the link at seq ${seq} was edited: its hash is not that of its parts` };
}

/** It does not follow the link before it. */
function brokenLink(base: Position, head: Position, link: ChainedEntry, whole: boolean, finds: Finds): Fault {
  const { seq } = link;
  const { predecessor, rightful } = finds;
  if (predecessor !== undefined && predecessor >= seq) {
    return reordered(seq, `it was chained upon the link that now stands at seq ${predecessor}`);
  }
  if (predecessor !== undefined) {
    if (whole) {
      const message = `seq ${predecessor + 1} and seq ${seq} were both chained upon seq ${predecessor}`;
      return { kind: "forked", seq, message };
    }
    if (linkHash({ ...link, seq: predecessor + 1 }) === link.hash) return inserted(predecessor + 1, head.seq, seq);
  }
  if (rightful !== undefined) return inserted(seq, rightful - 1, rightful);
  const original = originalSeq(link);
  if (original !== undefined && original > seq) {
    return deleted(seq, original - 1, `what stands there now was chained as seq ${original}`);
  }
  if (whole && head.seq > base.seq) {
    const message = `seq ${seq} was chained upon another seq ${head.seq}: that one was edited, and its hash computed anew`;
    return { kind: "edited", seq: head.seq, message };
  }
  return { kind: "edited", seq, message: `the link at seq ${seq} was edited: it does not follow seq ${head.seq}` };
}

/** Numbers close enough to try: so many links may have been taken out and the rest numbered anew. */
const triedNumbers = 10_000;

function originalSeq(link: ChainedEntry): number | undefined {
  for (let away = 0; away <= triedNumbers; away += 1) {
    if (linkHash({ ...link, seq: link.seq + away }) === link.hash) return link.seq + away;
  }
  return undefined;
}

async function look(source: ChainSource, head: Position, link: ChainedEntry): Promise<Finds> {
  const here = { seq: head.seq + 1, prevHash: head.hash };
  const content = contentOf(link);
  let predecessor = link.prevHash === source.base.hash ? source.base.seq : undefined;
  let rightful: number | undefined;
  let swapped: number | undefined;
  for await (const other of source.links()) {
    if (other.hash === link.prevHash) predecessor ??= other.seq;
    if (other.seq === link.seq) continue;
    const belongs = linkHash({ ...here, entryHash: other.entryHash });
    if (other.prevHash === here.prevHash && belongs === other.hash) rightful ??= other.seq;
    if (other.entryHash === content || belongs === link.hash) swapped ??= other.seq;
  }
  return { predecessor, rightful, swapped };
}

function deleted(seq: number, through: number, why: string): Fault {
  const what = through > seq ? `seq ${seq} to ${through} were deleted` : `seq ${seq} was deleted`;
  return { kind: "deleted", seq, through, message: `${what}: ${why}` };
}

function inserted(seq: number, through: number, next: number): Fault {
  const what = through > seq ? `seq ${seq} to ${through} were inserted` : `seq ${seq} was inserted`;
  return {
    kind: "inserted",
    seq,
    through,
    message: `${what}: what stands at seq ${next} now was chained as seq ${seq}`,
  };
}

function reordered(seq: number, why: string): Fault {
  return { kind: "reordered", seq, message: `seq ${seq} is not in its place: ${why}` };
}
