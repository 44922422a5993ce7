/**
 * The same search (canary.test.ts) through what is taken away and what waits to be sent: a canary in the password of the database, in
 * what signs webhooks and what opens OpenLineage, in a row and in the error that this row causes.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { type Config, createRederive, defineCatalog, exposure, type Rederive } from "rederive";
import { runToEnd } from "rederive/testing";
import { afterEach, expect, it, vi } from "vitest";
import type { Database } from "../../src/tx.ts";
import { aCanary } from "../server/support.ts";
import { eventually } from "../support/eventually.ts";
import { shop, withShop } from "../usecases/shop.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Where nobody listens, so that what is to be sent stays. */
const nobody = "http://127.0.0.1:9";

it("a canary has no hits in evidence, exports of the trail and messages", { timeout: 120_000 }, async () => {
  const canary = { database: aCanary(), row: aCanary(), webhook: aCanary(), openLineage: aCanary() };
  vi.stubEnv("REDERIVE_WEBHOOK_SECRET", canary.webhook);
  vi.stubEnv("OPENLINEAGE_URL", nobody);
  vi.stubEnv("OPENLINEAGE_API_KEY", canary.openLineage);
  await withShop(async ({ url, database }) => {
    const role = `rederive_${randomBytes(4).toString("hex")}`;
    await database.query(`create role ${role} superuser login password '${canary.database}'`);
    await database.query("update orders set currency = $1::text where id = 1", [canary.row]);
    const rederive = await createRederive({
      // The number of every currency that is none: its error quotes the row.
      catalog: withBoard("case when currency in ('EUR', 'USD') then amount else currency::numeric end"),
      databaseUrl: Object.assign(new URL(url), { username: role, password: canary.database }).href,
      environment: "test",
      webhooks: [{ url: `${nobody}/changed`, allowLoopback: true }],
    });
    try {
      const acting = rederive.as({ name: "audrey", role: "approver" });
      const backfill = await acting.plan({ reason: "numbers" });
      expect((await runToEnd(rederive, backfill)).state).toBe("held");
      const messages = await messagesOf(rederive, database);
      const exports = await exportsOf(rederive, backfill.id);
      // Each place was really looked at.
      for (const text of [messages, ...exports]) expect(text).toContain(backfill.id);
      for (const [what, secret] of Object.entries(canary)) {
        for (const text of [messages, ...exports]) {
          const at = text.indexOf(secret);
          expect([what, at < 0 ? "" : text.slice(Math.max(0, at - 200), at + 40)]).toEqual([what, ""]);
        }
      }
    } finally {
      await rederive.close();
      await database.query(`reassign owned by ${role} to current_user`);
      await database.query(`drop role ${role}`);
    }
  });
});

/** The shop, and somebody who wants to know how its data is. */
function withBoard(amount: string): Config["catalog"] {
  const datasets = [...shop({ amount }).datasets.values()];
  const reads = datasets.filter(({ name }) => name === "facts");
  return defineCatalog({ datasets, exposures: [exposure("board", { reads, criticality: "high" })] });
}

/** What waits to be sent, with the errors of having tried. */
async function messagesOf(rederive: Rederive, database: Database): Promise<string> {
  const planner = rederive.startPlanner();
  try {
    return await eventually(
      async () => {
        const rows = await database.query<{ text: string }>("select message::text as text from rederive.message");
        return rows.map(({ text }) => text).join("\n");
      },
      (text) => text.includes("exposure.changed") && text.includes("openlineage.io") && text.includes("ECONNREFUSED"),
      { what: "a webhook and an OpenLineage event that were tried and wait to be sent" },
    );
  } finally {
    await planner.stop();
  }
}

/** Every file that an auditor may take away: the evidence as a directory and as an archive, and the trail. */
async function exportsOf(rederive: Rederive, backfill: string): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), "rederive-canary-"));
  const of = (name: string) => join(directory, name);
  try {
    const { audit } = rederive.as({ name: "audrey", role: "approver" });
    await audit.exportBackfill({ backfill, out: of("evidence") });
    await audit.exportBackfill({ backfill, out: of("evidence.tar.gz") });
    await audit.export(of("trail.ndjson.gz"));
    const files = (await readdir(of("evidence"))).map((name) => of(join("evidence", name)));
    expect(files.length).toBeGreaterThan(15);
    const one = await Promise.all(files.map(textOf));
    const packed = ["evidence.tar.gz", "trail.ndjson.gz"].map(async (name) =>
      gunzipSync(await readFile(of(name))).toString("latin1"),
    );
    return [one.join("\n"), ...(await Promise.all(packed))];
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Columns of Parquet are compressed. */
async function textOf(path: string): Promise<string> {
  const text = await readFile(path, "latin1");
  if (!path.endsWith(".parquet")) return text;
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
  return text + JSON.stringify(rows, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}
