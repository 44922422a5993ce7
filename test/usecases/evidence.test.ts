import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { runToEnd, tester } from "rederive/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { check } from "../../src/catalog/check.ts";
import { checkBundle } from "../../src/governance/bundle.ts";
import { newKeyPair, publicKeyOf } from "../../src/governance/checkpoint.ts";
import { facts, shop, withShop } from "./shop.ts";

const pair = newKeyPair();
const keys = [publicKeyOf(pair.publicKey)];
const hostile = `=cmd|' /C calc'!A0 <script>alert("1")</script>, "why"`;
const secret = "canary-5d41402abc";
let directory: string;
let bundle: string;
let archive: string;
let backfill: string;

/** A backfill that a check held and a person let pass, with another one before and after it in the trail. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "rederive-evidence-"));
  bundle = join(directory, "bundle");
  archive = join(directory, "bundle.tar.gz");
  vi.stubEnv("REDERIVE_AUDIT_KEY", pair.privateKey);
  await withShop(async (stage) => {
    await stage.database.query(`update orders set currency = '${secret}' where id = 7`);
    const checks = [check.accepted(facts.currency, ["EUR", "USD"])];
    const rederive = await stage.open(shop({ facts: { checks, mask: [facts.currency] } }));
    const acting = rederive.as(tester);
    await (await acting.plan({ reason: "an earlier one of somebody else" })).cancel({ reason: "not now" });
    const made = await acting.plan({ reason: hostile });
    backfill = made.id;
    expect((await runToEnd(rederive, made)).state).toBe("held");
    await made.resume({ reason: "it is a test currency" });
    expect((await runToEnd(rederive, made)).state).toBe("verified");
    await acting.createToken({ name: "somebody else", role: "viewer" });
    await acting.audit.exportBackfill({ backfill, out: bundle });
    await acting.audit.exportBackfill({ backfill, out: archive });
    await expect(acting.audit.exportBackfill({ backfill, out: bundle })).rejects.toMatchObject({ code: "usage" });
    const leaving = new AbortController();
    const { signal } = leaving;
    // Amid the first table.
    vi.spyOn(signal, "throwIfAborted")
      .mockImplementationOnce(() => {})
      .mockImplementationOnce(() => leaving.abort());
    const unwanted = acting.audit.exportBackfill({ backfill, out: join(directory, "unwanted.tar.gz"), signal });
    await expect(unwanted).rejects.toMatchObject({ name: "AbortError" });
    expect(readdirSync(directory).sort()).toEqual(["bundle", "bundle.tar.gz"]);
    await expect(acting.audit.exportBackfill({ backfill: "bf_no", out: "x" })).rejects.toMatchObject({
      code: "not_found",
    });
  });
}, 120_000);

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

const text = (name: string) => readFileSync(join(bundle, name), "utf8");
const rows = (name: string) => JSON.parse(text(name)) as Record<string, unknown>[];

describe("an evidence bundle", () => {
  it("holds what was decided, said, computed, checked and compared", async () => {
    const tables = ["approvals", "audit", "checks", "restore-points", "stamps"];
    expect(readdirSync(bundle)).toEqual(
      [
        "audit-chain.ndjson",
        "differences.json",
        "manifest.json",
        "manifest.sig.json",
        "plan.json",
        "report.html",
        ...tables.flatMap((name) => ["csv", "json", "parquet"].map((kind) => `${name}.${kind}`)),
      ].sort(),
    );
    expect(JSON.parse(text("plan.json"))).toMatchObject({ id: backfill, reason: hostile, decision: { format: 2 } });
    expect(rows("stamps.json")).toHaveLength(120);
    expect(rows("stamps.json")[0]).toMatchObject({ dataset: "facts", rowsWritten: 20, checks: expect.any(Array) });
    expect(rows("checks.json").filter(({ failures }) => failures !== 0)).toMatchObject([
      { dataset: "facts", failures: 1, severity: "error" },
    ]);
    expect(rows("audit.json").map(({ act }) => act)).toEqual([
      "backfill.plan",
      "backfill.start",
      "dataset.hold",
      "hold",
      "backfill.resume",
      "backfill.verified",
    ]);
    expect(rows("differences.json")).toMatchObject([
      { dataset: "facts", added: 1_200 },
      { dataset: "revenue", added: 121 },
    ]);
  });

  it("has the same rows in every format", async () => {
    for (const name of ["stamps", "checks", "audit"]) {
      const json = rows(`${name}.json`);
      const parquet = await parquetReadObjects({ file: await asyncBufferFromFile(join(bundle, `${name}.parquet`)) });
      expect(parquet.map(({ id }) => Number(id))).toEqual(json.map(({ id }) => id));
      expect(text(`${name}.csv`).split("\r\n")).toHaveLength(json.length + 2);
    }
  });

  it("shows neither masked values, secrets, formulas nor markup, nor entries of other backfills", () => {
    for (const name of readdirSync(bundle)) {
      expect(text(name), name).not.toContain(secret);
      expect(text(name), name).not.toContain("PRIVATE KEY");
      expect(text(name), name).not.toContain("somebody else");
      expect(text(name), name).not.toContain("postgres://");
    }
    expect(text("audit.csv")).toContain(`"'=cmd|`);
    expect(text("audit.csv")).not.toMatch(/(^|,|")=cmd/m);
    expect(text("report.html")).toContain("&lt;script&gt;");
    expect(text("report.html")).not.toContain("<script");
    expect(text("report.html")).toContain("@media print");
  });

  it("is verified without a server, as a directory and as an archive", async () => {
    const verdict = await checkBundle(bundle, keys);
    expect(verdict).toMatchObject({ ok: true, backfill, faults: [], trail: { base: { seq: 2 }, head: { seq: 9 } } });
    expect(await checkBundle(archive, keys)).toMatchObject({ ok: true, trail: { base: { seq: 2 } } });
    const other = publicKeyOf(newKeyPair().publicKey);
    await expect(checkBundle(bundle, [other])).rejects.toMatchObject({ code: "verification_failed" });
  });

  it.each<[string, string, (of: string) => void]>([
    ["a file that was changed", "stamps.csv was changed", (of) => appendFileSync(join(of, "stamps.csv"), "x")],
    ["a file that is missing", "checks.json is missing", (of) => rmSync(join(of, "checks.json"))],
    ["a file too many", "more.txt is not of this bundle", (of) => writeFileSync(join(of, "more.txt"), "")],
    [
      "another manifest",
      "the manifest is not what was signed",
      (of) => change(of, "manifest.json", (all) => all.replace(tester.name, "mallory")),
    ],
    ["no signature", "the manifest is not signed", (of) => rmSync(join(of, "manifest.sig.json"))],
    [
      "another plan",
      "plan.json: the decision does not have the hash",
      (of) => change(of, "plan.json", (all) => all.replaceAll("recompute", "reuse")),
    ],
    [
      "another entry",
      "audit-chain.ndjson: entry",
      (of) => change(of, "audit-chain.ndjson", (all) => all.replace("it is a test currency", "it is fine")),
    ],
  ])("with %s is refused", async (_what, fault, tamper) => {
    const copy = join(directory, "copy");
    cpSync(bundle, copy, { recursive: true });
    tamper(copy);
    const verdict = await checkBundle(copy, keys);
    rmSync(copy, { recursive: true });
    expect(verdict.ok).toBe(false);
    expect(verdict.faults.join("; ")).toContain(fault);
  });

  it("that breaks off, or is none, is refused", async () => {
    const packed = readFileSync(archive);
    writeFileSync(join(directory, "half.tar.gz"), packed.subarray(0, packed.length / 2));
    await expect(checkBundle(join(directory, "half.tar.gz"))).rejects.toMatchObject({ code: "verification_failed" });
    await expect(checkBundle(join(directory, "nothing"))).rejects.toMatchObject({ code: "usage" });
    await expect(checkBundle(import.meta.filename)).rejects.toMatchObject({ code: "verification_failed" });
    expect(existsSync(join(directory, "copy"))).toBe(false);
  });
});

function change(directory_: string, name: string, with_: (text: string) => string): void {
  const path = join(directory_, name);
  writeFileSync(path, with_(readFileSync(path, "utf8")));
}
