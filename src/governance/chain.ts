/**
 * What a link of the audit chain is made of. Pure.
 *
 *     entryHash = SHA-256(canonical JSON of the entry as it is stored)
 *     hash      = SHA-256(canonical JSON of { seq, prevHash, entryHash })
 *
 * The two steps let a proof show that an entry is part of the chain without showing the entries of others.
 */
import { hashOf } from "../hash.ts";
import type { AuditRecord } from "../store/audit.ts";
import type { LinkRow } from "../store/audit-chain.ts";

/** A place in the chain: the last link of a part of it. */
export interface Position {
  readonly seq: number;
  readonly hash: string;
}

/** Before the first link. */
export const genesis: Position = { seq: 0, hash: "0".repeat(64) };

export function entryHash({ id, at, actor, act, backfill, dataset, reason, planHash, details }: AuditRecord): string {
  // By name, so that a column of a later version does not change the hash of an older entry.
  return hashOf({ id, at, actor, act, backfill, dataset, reason, planHash, details });
}

export function linkHash({ seq, prevHash, entryHash: content }: Omit<LinkRow, "hash" | "entry">): string {
  return hashOf({ seq, prevHash, entryHash: content });
}

/** Links for entries, one after the other, from the head on. */
export function linksOf(head: Position, records: readonly AuditRecord[]): LinkRow[] {
  const links: LinkRow[] = [];
  let previous = head;
  for (const record of records) {
    const link = { seq: previous.seq + 1, prevHash: previous.hash, entryHash: entryHash(record) };
    previous = { seq: link.seq, hash: linkHash(link) };
    links.push({ ...link, entry: record.id, hash: previous.hash });
  }
  return links;
}
