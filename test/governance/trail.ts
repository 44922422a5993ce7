/** A trail of eight chained entries, and somebody who changes it with the rights of a superuser. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { entryHash, linkHash } from "../../src/governance/chain.ts";
import { chainPending } from "../../src/governance/sequencer.ts";
import { basisOf, chainSource, trailLines, verifyTrail } from "../../src/governance/trail.ts";
import type { ChainedEntry } from "../../src/governance/verify.ts";
import { appendAudit } from "../../src/store/audit.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { withDatabase } from "../support/postgres.ts";

export interface Trail {
  readonly database: Database;
  /** A directory of one's own. */
  readonly directory: string;
  append(...acts: string[]): Promise<void>;
  verify(trust?: Parameters<typeof verifyTrail>[1]): ReturnType<typeof verifyTrail>;
  /** What `rederive audit export` writes; returns its path. */
  exported(options?: Parameters<typeof trailLines>[1]): Promise<string>;
  /** With triggers and constraints out of the way. */
  tamper(...statements: string[]): Promise<void>;
  /** Makes the links of these entries anew, from `seq` on, as if the sequencer had made them. */
  chainAnew(from: number, through?: number): Promise<void>;
}

export function withTrail(callback: (trail: Trail) => Promise<void>): () => Promise<void> {
  return () =>
    withDatabase(async (url) => {
      const database = openDatabase(url, { max: 4 });
      const directory = mkdtempSync(join(tmpdir(), "rederive-trail-"));
      const trail = trailOf(database, directory);
      try {
        await trail.append("one", "two", "three", "four", "five", "six", "seven", "eight");
        await chainPending(database);
        await callback(trail);
      } finally {
        await database.close();
        rmSync(directory, { recursive: true });
      }
    });
}

function trailOf(database: Database, directory: string): Trail {
  let exports = 0;
  return {
    database,
    directory,
    append: async (...acts) => {
      for (const act of acts)
        await appendAudit(database, { actor: "ada", act, reason: `why ${act}`, details: { n: 1 } });
    },
    verify: (trust) => database.transaction((tx) => verifyTrail(tx, trust), { isolation: "repeatable read" }),
    exported: async (options) => {
      exports += 1;
      const path = join(directory, `trail-${exports}.ndjson`);
      let text = "";
      for await (const line of trailLines(database, options)) text += line;
      writeFileSync(path, text);
      return path;
    },
    tamper: async (...statements) => {
      await database.query("alter table rederive.audit disable trigger all");
      await database.query("alter table rederive.audit_chain disable trigger all");
      for (const statement of statements) await database.query(statement);
    },
    chainAnew: async (from, through = Number.POSITIVE_INFINITY) => {
      const links: ChainedEntry[] = [];
      for await (const link of chainSource(database, await basisOf(database)).links()) links.push(link);
      let { hash } = links.find(({ seq }) => seq === from - 1) ?? { hash: "0".repeat(64) };
      for (const link of links.filter(({ seq }) => seq >= from && seq <= through)) {
        const content = link.record ? entryHash(link.record) : link.entryHash;
        const prevHash = hash;
        hash = linkHash({ seq: link.seq, prevHash, entryHash: content });
        await database.query(
          "update rederive.audit_chain set entry_hash = $2::text, prev_hash = $3::text, hash = $4::text where seq = $1::int8",
          [link.seq, content, prevHash, hash],
        );
      }
    },
  };
}
