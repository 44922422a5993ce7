import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRederive, type Rederive } from "rederive";
import { tester } from "rederive/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { newKeyPair, parseCheckpoints, publicKeyOf } from "../../src/governance/checkpoint.ts";
import { verifyTrailFile } from "../../src/governance/trail.ts";
import { eventually } from "../support/eventually.ts";
import { type Stage, shop, withShop } from "./shop.ts";

const pair = newKeyPair();
const keys = [publicKeyOf(pair.publicKey)];
const soon = new Date(Date.now() + 3_600_000).toISOString();
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "rederive-audit-"));
  vi.stubEnv("REDERIVE_AUDIT_KEY", pair.privateKey.replaceAll("\n", "\\n"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

/** A shop in which something was planned and given up. */
function withActs(
  callback: (rederive: Rederive, stage: Stage, backfill: string) => Promise<void>,
): () => Promise<void> {
  return () =>
    withShop(async (stage) => {
      const rederive = await stage.open(shop());
      const backfill = await rederive.as(tester).plan({ reason: "first run" });
      await backfill.cancel({ reason: "only a test" });
      await callback(rederive, stage, backfill.id);
    });
}

describe("the audit log", () => {
  it(
    "is read in pages, by backfill, actor and time",
    withActs(async (rederive, _stage, backfill) => {
      const { audit } = rederive.as(tester);
      const log = await audit.log({ backfill, actor: tester.name, since: "2026-01-01" });
      expect(log.entries.map(({ act, reason, seq }) => [act, reason, seq])).toEqual([
        ["backfill.cancel", "only a test", null],
        ["backfill.plan", "first run", null],
      ]);
      const page = await audit.log({ limit: 1 });
      expect(page.entries).toMatchObject([{ act: "backfill.cancel" }]);
      expect(await audit.log({ before: page.next ?? "" })).toMatchObject({
        entries: [{ act: "backfill.plan" }],
        next: null,
      });
      expect((await audit.log({ actor: "nobody" })).entries).toEqual([]);
      expect((await audit.log({ since: soon })).entries).toEqual([]);
      await expect(audit.log({ backfill: "bf_nothing" })).rejects.toMatchObject({ code: "not_found" });
      await expect(audit.log({ since: "yesterday" })).rejects.toMatchObject({ code: "usage" });
      await expect(audit.log({ before: "x" })).rejects.toMatchObject({ code: "usage" });
      await expect(audit.log({ limit: 0 })).rejects.toMatchObject({ code: "usage" });
    }),
  );

  it(
    "is for approvers and admins",
    withActs(async (rederive) => {
      const as = (role: "operator" | "approver") => rederive.as({ name: "ada", role }).audit;
      await expect(as("operator").log()).rejects.toMatchObject({ code: "forbidden" });
      await expect(as("operator").verify()).rejects.toMatchObject({ code: "forbidden" });
      await expect(as("approver").checkpoint()).rejects.toMatchObject({ code: "forbidden" });
      await expect(as("approver").prune({ before: soon, archive: "x", reason: "y" })).rejects.toMatchObject({
        code: "forbidden",
      });
      // Two acts, and three that were refused.
      expect(await as("approver").verify()).toMatchObject({ ok: true, unchained: { entries: 5 } });
      const lag = await rederive.as({ name: "ada", role: "viewer" }).auditLag();
      expect(lag).toEqual({ unchained: 5, oldestSeconds: expect.any(Number) });
    }),
  );
});

describe("checkpoints", () => {
  it(
    "need a key",
    withActs(async (rederive) => {
      vi.stubEnv("REDERIVE_AUDIT_KEY", "");
      await expect(rederive.as(tester).audit.checkpoint()).rejects.toMatchObject({
        code: "configuration",
        message: expect.stringContaining("rederive audit key"),
      });
      vi.stubEnv("REDERIVE_AUDIT_KEY", "a secret that is no key");
      const refused = rederive.as(tester).audit.checkpoint();
      await expect(refused).rejects.toMatchObject({
        code: "configuration",
        message: expect.not.stringContaining("a secret"),
      });
    }),
  );

  it(
    "are written beside the database by the planner that leads, when something was chained",
    withActs(async (_rederive, { url }) => {
      const auditCheckpoints = { directory, everyMs: 50 };
      await using rederive = await createRederive({
        catalog: shop(),
        databaseUrl: url,
        environment: "test",
        auditCheckpoints,
      });
      const file = join(directory, "checkpoints.ndjson");
      const planner = rederive.startPlanner();
      await eventually(() => existsSync(file), Boolean, { what: "there is a checkpoint" });
      await rederive.as(tester).plan({ reason: "second" });
      const kept = await eventually(
        () => parseCheckpoints(readFileSync(file, "utf8"), keys),
        (all) => all.at(-1)?.seq === 3,
        { what: "the next act is signed, too" },
      );
      await planner.stop();
      expect(kept.map(({ seq }) => seq)).toEqual([2, 3]);
      expect(await rederive.as(tester).audit.verify({ checkpoints: kept, keys })).toMatchObject({ ok: true });
    }),
  );
});

describe("pruning", () => {
  it(
    "archives what is old behind a signed checkpoint, from which the chain stays verifiable",
    withActs(async (rederive, { database }) => {
      const { audit } = rederive.as(tester);
      const archive = join(directory, "old.ndjson.gz");
      expect(await audit.prune({ before: "2026-01-01", archive, reason: "retention" })).toEqual({
        pruned: 0,
        checkpoint: null,
      });
      expect(existsSync(archive)).toBe(false);
      const early = await audit.checkpoint();
      await expect(audit.prune({ before: soon, archive, reason: " " })).rejects.toMatchObject({ code: "usage" });
      expect(await audit.prune({ before: soon, archive, reason: "retention" })).toMatchObject({
        pruned: 2,
        checkpoint: { seq: 2 },
      });
      expect(await verifyTrailFile(archive, { checkpoints: [early], keys })).toMatchObject({
        ok: true,
        head: { seq: 2 },
      });
      const late = await audit.checkpoint();
      expect(await audit.verify({ checkpoints: [early, late], keys })).toMatchObject({
        ok: true,
        base: { seq: 2 },
        head: { seq: 3 },
      });
      expect((await audit.log()).entries).toMatchObject([
        { act: "audit.prune", reason: "retention", seq: 3, details: { through: 2, entries: 2 } },
      ]);
      const trail = join(directory, "trail.ndjson");
      await audit.export(trail);
      expect(await verifyTrailFile(trail, { checkpoints: [early, late], keys })).toMatchObject({
        ok: true,
        base: { seq: 2 },
      });
      await expect(audit.export(trail)).rejects.toMatchObject({ code: "usage" });
      // Somebody takes more out, and makes up what the chain begins behind.
      await database.query("alter table rederive.audit_pruned disable trigger all");
      await database.query(
        `update rederive.audit_pruned set checkpoint = checkpoint || '{"hash": "${"1".repeat(64)}"}'`,
      );
      await expect(audit.verify()).rejects.toMatchObject({ code: "verification_failed" });
    }),
  );

  it(
    "refuses a chain with a fault, and a file that is there, and takes nothing out",
    withActs(async (rederive, { database }) => {
      const { audit } = rederive.as(tester);
      const archive = join(directory, "old.ndjson");
      writeFileSync(archive, "mine");
      await expect(audit.prune({ before: soon, archive, reason: "retention" })).rejects.toMatchObject({
        code: "usage",
      });
      await database.query("alter table rederive.audit disable trigger audit_no_update");
      await database.query("update rederive.audit set reason = 'another' where id = 1");
      const other = join(directory, "other.ndjson");
      await expect(audit.prune({ before: soon, archive: other, reason: "retention" })).rejects.toMatchObject({
        code: "verification_failed",
        message: expect.stringContaining("nothing was pruned"),
      });
      expect([existsSync(other), readFileSync(archive, "utf8")]).toEqual([false, "mine"]);
      expect(await database.query("select id from rederive.audit")).toHaveLength(2);
    }),
  );
});
