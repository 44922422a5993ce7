import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { TrailVerdict } from "../../src/governance/trail.ts";
import type { AuditLog } from "../../src/usecases/audit.ts";
import { runCommand, withShop } from "./command.ts";

describe("rederive audit", () => {
  it("signs, exports and verifies the trail, online and offline", { timeout: 240_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "rederive-audit-"));
    const at = (name: string) => join(directory, name);
    const key = await runCommand(["audit", "key", "--out", at("key"), "--json"]);
    expect([key.code, key.json()]).toMatchObject([0, { key: expect.stringMatching(/^[0-9a-f]{16}$/) }]);
    expect(statSync(at("key")).mode & 0o777).toBe(0o600);
    expect((await runCommand(["audit", "key", "--out", at("key")])).code).toBe(2);

    await withShop(async (shop) => {
      const signing = { REDERIVE_AUDIT_KEY_FILE: at("key") };
      const { backfill } = (await shop.run(["plan", "--reason", "first run", "--json"])).json<{ backfill: string }>();
      const log = await shop.run(["audit", "log", backfill, "--actor", "ada", "--json"]);
      expect(log.json<AuditLog>().entries).toMatchObject([{ act: "backfill.plan", reason: "first run", seq: null }]);

      const signed = await shop.run(["audit", "checkpoint", "--out", at("signed")], signing);
      expect([signed.code, signed.stdout]).toEqual([0, expect.stringContaining("seq 1 is signed")]);
      expect(readFileSync(at("signed"), "utf8")).not.toContain("PRIVATE");
      const trust = ["--checkpoint", at("signed"), "--key", at("key.pub")];
      const exported = await shop.run(["audit", "export", "--out", at("trail.ndjson.gz")]);
      expect([exported.code, exported.stderr]).toEqual([0, ""]);
      // Without a server, and where no configuration is.
      const offline = ["audit", "verify", "--file", at("trail.ndjson.gz"), ...trust];
      const alone = await runCommand(offline, { cwd: directory });
      expect([alone.code, alone.stdout]).toEqual([0, expect.stringContaining("seq 1 is as it was chained")]);

      const bundle = at("evidence.tar.gz");
      const exporting = await shop.run(["audit", "export", backfill, "--out", bundle], signing);
      expect([exporting.code, exporting.stdout]).toEqual([0, expect.stringContaining("rederive audit check-bundle")]);
      const checked = await runCommand(["audit", "check-bundle", bundle, "--key", at("key.pub")], { cwd: directory });
      expect([checked.code, checked.stdout]).toEqual([
        0,
        expect.stringContaining(`files of ${backfill} are as they were`),
      ]);
      writeFileSync(bundle, readFileSync(bundle).subarray(0, 2_000));
      expect((await runCommand(["audit", "check-bundle", bundle], { cwd: directory })).code).toBe(3);

      await shop.query("alter table rederive.audit disable trigger all");
      await shop.query("update rederive.audit set actor = 'mallory'");
      const tampered = await shop.run(["audit", "verify", ...trust, "--json"]);
      expect([tampered.code, tampered.json<TrailVerdict>()]).toMatchObject([
        3,
        { ok: false, fault: { kind: "edited", seq: 1 } },
      ]);
    });
    rmSync(directory, { recursive: true });
  });
});
