import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { linkHash } from "../../src/governance/chain.ts";
import { makeCheckpoint, newKeyPair, signerOf } from "../../src/governance/checkpoint.ts";
import { chainPending } from "../../src/governance/sequencer.ts";
import { verifyTrailFile } from "../../src/governance/trail.ts";
import type { Fault } from "../../src/governance/verify.ts";
import { type Trail, withTrail } from "./trail.ts";

/** Another entry where an act of one's own should have been. */
const forged = `insert into rederive.audit (id, actor, act) overriding system value values (900, 'mallory', 'backfill.promote')`;
const loose = `alter table rederive.audit_chain drop constraint audit_chain_pkey, drop constraint audit_chain_prev_hash_unique,
  drop constraint audit_chain_entry_unique`;
/** Makes room for one link at seq 4. */
const renumber = `update rederive.audit_chain set seq = seq + 1 where seq >= 4`;

type Expected = Pick<Fault, "kind" | "seq"> & { readonly through?: number };

/** What is done, what is found, and how it is done. Entry ids equal seqs. */
const cases: readonly [done: string, found: Expected, tamper: (trail: Trail) => Promise<void>][] = [
  [
    "an entry's reason is edited",
    { kind: "edited", seq: 3 },
    (trail) => trail.tamper("update rederive.audit set reason = 'a better one' where id = 3"),
  ],
  [
    "a number in an entry's details is edited beyond what JavaScript can tell",
    { kind: "edited", seq: 4 },
    (trail) => trail.tamper(`update rederive.audit set details = '{"n": 1.00000000000000000001}' where id = 4`),
  ],
  [
    "an entry is edited and its own link made anew",
    { kind: "edited", seq: 3 },
    async (trail) => {
      await trail.tamper("update rederive.audit set actor = 'mallory' where id = 3");
      await trail.chainAnew(3, 3);
    },
  ],
  [
    "the hash of a link is edited",
    { kind: "edited", seq: 5 },
    (trail) => trail.tamper("update rederive.audit_chain set hash = md5('x') where seq = 5"),
  ],
  [
    "an entry is deleted",
    { kind: "deleted", seq: 3, through: 3 },
    (trail) => trail.tamper("delete from rederive.audit where id = 3"),
  ],
  [
    "two entries are deleted with their links",
    { kind: "deleted", seq: 3, through: 4 },
    (trail) =>
      trail.tamper(
        "delete from rederive.audit where id in (3, 4)",
        "delete from rederive.audit_chain where entry in (3, 4)",
      ),
  ],
  [
    "two entries are deleted with their links and the rest is numbered anew",
    { kind: "deleted", seq: 3, through: 4 },
    (trail) =>
      trail.tamper(
        loose,
        "delete from rederive.audit where id in (3, 4)",
        "delete from rederive.audit_chain where entry in (3, 4)",
        "update rederive.audit_chain set seq = seq - 2 where seq > 4",
      ),
  ],
  [
    "an entry is inserted with a link that has the right hashes",
    { kind: "inserted", seq: 4, through: 4 },
    async (trail) => {
      await trail.tamper(
        loose,
        forged,
        renumber,
        "insert into rederive.audit_chain values (4, 900, '', (select hash from rederive.audit_chain where seq = 3), '')",
      );
      await trail.chainAnew(4, 4);
    },
  ],
  [
    "an entry is inserted with a link that has any hashes",
    { kind: "inserted", seq: 4, through: 4 },
    (trail) =>
      trail.tamper(
        loose,
        forged,
        renumber,
        "insert into rederive.audit_chain values (4, 900, 'a', md5('b'), md5('c'))",
      ),
  ],
  [
    "two neighbours change places",
    { kind: "reordered", seq: 3 },
    (trail) => trail.tamper(loose, "update rederive.audit_chain set seq = 7 - seq where seq in (3, 4)"),
  ],
  [
    "two links far apart change places",
    { kind: "reordered", seq: 2 },
    (trail) => trail.tamper(loose, "update rederive.audit_chain set seq = 9 - seq where seq in (2, 7)"),
  ],
  [
    "two entries change places under their links",
    { kind: "reordered", seq: 3 },
    (trail) => trail.tamper(loose, "update rederive.audit_chain set entry = 9 - entry where seq in (3, 6)"),
  ],
  [
    "two entries change places with their hashes",
    { kind: "reordered", seq: 3 },
    (trail) =>
      trail.tamper(
        loose,
        `update rederive.audit_chain c set entry = o.entry, entry_hash = o.entry_hash
         from rederive.audit_chain o where c.seq in (3, 6) and o.seq = 9 - c.seq`,
      ),
  ],
  [
    "a second link has the number of another",
    { kind: "forked", seq: 5 },
    (trail) =>
      trail.tamper(
        loose,
        forged,
        "insert into rederive.audit_chain select seq, 900, 'a', prev_hash, md5('c') from rederive.audit_chain where seq = 5",
      ),
  ],
  [
    "a link is chained upon an earlier one",
    { kind: "forked", seq: 6 },
    async (trail) => {
      await trail.tamper(
        loose,
        "update rederive.audit_chain set prev_hash = (select hash from rederive.audit_chain where seq = 3) where seq = 6",
      );
      const [six] = await trail.database.query<{ entryHash: string; prevHash: string }>(
        `select entry_hash as "entryHash", prev_hash as "prevHash" from rederive.audit_chain where seq = 6`,
      );
      if (six === undefined) throw new Error("there is no sixth link");
      await trail.database.query("update rederive.audit_chain set hash = $1::text where seq = 6", [
        linkHash({ seq: 6, ...six }),
      ]);
    },
  ],
];

/** Nothing inside of the chain shows these; the checkpoint of seq 7 does. */
const unseen: typeof cases = [
  [
    "the tail is cut off with its entries",
    { kind: "truncated", seq: 6, through: 7 },
    (trail) =>
      trail.tamper("delete from rederive.audit where id > 5", "delete from rederive.audit_chain where seq > 5"),
  ],
  [
    "both tables are truncated",
    { kind: "truncated", seq: 1, through: 7 },
    (trail) => trail.tamper("truncate rederive.audit, rederive.audit_chain"),
  ],
  [
    "an entry is edited and everything after it chained anew",
    { kind: "forked", seq: 7 },
    async (trail) => {
      await trail.tamper("update rederive.audit set actor = 'mallory' where id = 3");
      await trail.chainAnew(3);
    },
  ],
  [
    "the tail is cut off and goes on with other entries",
    { kind: "forked", seq: 7 },
    async (trail) => {
      await trail.tamper("delete from rederive.audit where id > 5", "delete from rederive.audit_chain where seq > 5");
      await trail.database.query("alter table rederive.audit enable trigger all");
      await trail.append("six", "seven", "other");
      await chainPending(trail.database);
    },
  ],
];

const signer = signerOf(newKeyPair().privateKey);
const time = new Date("2026-01-01T00:00:00Z");

async function checkpointOf({ database }: Trail, seq: number) {
  const [link] = await database.query<{ hash: string }>("select hash from rederive.audit_chain where seq = $1::int8", [
    seq,
  ]);
  return makeCheckpoint(signer, { seq, hash: link?.hash ?? "" }, time);
}

describe("a chain that nobody touched", () => {
  it(
    "is right, online and from a file, and its unchained tail is told apart",
    withTrail(async (trail) => {
      await trail.append("nine", "ten");
      const checkpoint = await checkpointOf(trail, 5);
      const trust = { checkpoints: [checkpoint], keys: [signer.publicKey] };
      const verdict = await trail.verify(trust);
      expect(verdict).toMatchObject({
        ok: true,
        fault: null,
        base: { seq: 0 },
        head: { seq: 8 },
        unchained: { entries: 2, oldestAt: expect.stringMatching(/^\d{4}-.*Z$/) },
        checkpoints: [{ seq: 5, time: time.toISOString(), key: expect.stringMatching(/^[0-9a-f]{16}$/) }],
        trusted: true,
      });
      const path = await trail.exported();
      expect(await verifyTrailFile(path, trust)).toEqual(verdict);
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
      expect(await verifyTrailFile(`${path}.gz`, trust)).toEqual(verdict);
    }),
  );
});

describe("a chain in which", () => {
  it.each(cases)("%s is refused", (_done, found, tamper) =>
    withTrail(async (trail) => {
      await tamper(trail);
      const expected = { ok: false, fault: found };
      expect(await trail.verify()).toMatchObject(expected);
      expect(await verifyTrailFile(await trail.exported())).toMatchObject(expected);
    })(),
  );

  it.each(unseen)("%s is refused by a checkpoint alone", (_done, found, tamper) =>
    withTrail(async (trail) => {
      const checkpoints = [await checkpointOf(trail, 4), await checkpointOf(trail, 7)];
      if (found.seq === 7) checkpoints.shift();
      await tamper(trail);
      expect(await trail.verify()).toMatchObject({ ok: true });
      expect(await trail.verify({ checkpoints })).toMatchObject({ ok: false, fault: found });
      expect(await verifyTrailFile(await trail.exported(), { checkpoints })).toMatchObject({ ok: false, fault: found });
    })(),
  );

  it(
    "links are cut off and their entries left is refused without a checkpoint",
    withTrail(async (trail) => {
      await trail.tamper("delete from rederive.audit_chain where seq > 6");
      expect(await trail.verify()).toMatchObject({ ok: false, fault: { kind: "truncated", seq: 7 } });
    }),
  );
});

describe("a file of a trail", () => {
  const lines = (path: string) => readFileSync(path, "utf8").split("\n").slice(0, -1);
  const rewrite = (path: string, change: (lines: string[]) => string[]) =>
    writeFileSync(path, `${change(lines(path)).join("\n")}\n`);

  it.each<[string, Expected, (lines: string[]) => string[]]>([
    ["is cut off in the middle", { kind: "truncated", seq: 6 }, (all) => all.slice(0, 6)],
    ["lost its last link", { kind: "truncated", seq: 8, through: 8 }, (all) => all.toSpliced(8, 1)],
    ["lost an unchained entry", { kind: "truncated", seq: 9 }, (all) => all.toSpliced(9, 1)],
    [
      "has an entry that was edited",
      { kind: "edited", seq: 2 },
      (all) => all.with(2, all[2]?.replace("why two", "x") ?? ""),
    ],
  ])("that %s is refused", (_what, fault, change) =>
    withTrail(async (trail) => {
      await trail.append("nine");
      const path = await trail.exported();
      rewrite(path, change);
      expect(await verifyTrailFile(path)).toMatchObject({ ok: false, fault });
    })(),
  );

  it(
    "ends with a signed checkpoint of itself, where there is a key",
    withTrail(async (trail) => {
      const path = await trail.exported({ sign: (head) => makeCheckpoint(signer, head, time) });
      expect(await verifyTrailFile(path, { keys: [signer.publicKey] })).toMatchObject({
        ok: true,
        checkpoints: [{ seq: 8 }],
      });
      const other = signerOf(newKeyPair().privateKey);
      await expect(verifyTrailFile(path, { keys: [other.publicKey] })).rejects.toMatchObject({
        code: "verification_failed",
        message: expect.stringContaining("none of those that are trusted"),
      });
      rewrite(path, (all) => all.map((line) => line.replace('"time":"2026-01', '"time":"2027-01')));
      await expect(verifyTrailFile(path)).rejects.toMatchObject({
        code: "verification_failed",
        message: expect.stringContaining("it was changed"),
      });
    }),
  );

  it("of another kind is refused with its name", () =>
    expect(verifyTrailFile(new URL(import.meta.url).pathname)).rejects.toMatchObject({
      code: "verification_failed",
      message: expect.stringContaining("is not a trail"),
    }));
});
