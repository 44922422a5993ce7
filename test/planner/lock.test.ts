/** The lock file: what its hashes follow, what they ignore, and the refusals. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isRederiveError } from "../../src/errors.ts";
import { readLockFile, writeLockFile } from "../../src/lock-file.ts";
import { hashMapCode } from "../../src/map-code.ts";
import {
  formatLock,
  lockedHashes,
  lockOf,
  parseLock,
  requireCurrentLock,
  requireLock,
} from "../../src/planner/lock.ts";
import { aCatalog } from "./support.ts";

const files: Readonly<Record<string, string>> = {
  "schema.ts": `import { pgSchema, pgTable, text, integer } from "drizzle-orm/pg-core";
    export const flights = pgTable("flights", { id: integer("id") });
    export const facts = pgTable("facts", { id: integer("id").notNull(), delay: integer("delay") }).enableRLS();
    export const app = pgSchema("app");
    export const others = app.table("others", { id: integer("id") });`,
  "delay.ts": `import { cap } from "./cap.ts";
    export function delayOf(row: { delay: number }): number { return cap(row.delay) / 60; }
    export const unused = 1;`,
  "cap.ts": `const limits: Map<string, number> = new Map();
    limits.set("high", 600);
    export const cap = (value: number) => Math.min(value, limits.get("high") ?? 0);`,
  "catalog.ts": `import { derived, source, defineCatalog } from "rederive";
    import * as t from "./schema.ts";
    import { delayOf } from "./delay.ts";
    const flights = source(t.flights, {});
    export const facts = derived(t.facts, {
      version: 1, description: "a text", inputs: { flights }, read: ({ db, flights }) => db.select().from(flights),
      map: (row) => ({ id: row.id, delay: delayOf(row) }),
    });
    const twice = (value: number) => value * 2;
    export const others = derived(t.others, { version: 1, inputs: { facts }, read: () => null, map(row) { return { id: twice(row.id) }; } });
    export default defineCatalog({ datasets: [flights, facts, others] });`,
};

type Change = Readonly<Record<string, (text: string) => string>>;

async function withProject<Result>(change: Change, callback: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "rederive-lock-"));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), change[name]?.(text) ?? text);
    return await callback(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function hashes(change: Change = {}): Promise<{ facts: string; others: string }> {
  return withProject(change, async (folder) => {
    const found = await hashMapCode(join(folder, "catalog.ts"), ["facts", "app.others"]);
    return { facts: found.get("facts") as string, others: found.get("app.others") as string };
  });
}

/** Replaces text that must be there. */
function swap(from: string, to: string): (text: string) => string {
  return (text) => {
    expect(text).toContain(from);
    return text.replace(from, to);
  };
}

describe("hashMapCode", () => {
  it("ignores formatting, comments, types, descriptions and everything that the map does not reach", async () => {
    const before = await hashes();
    expect(before.facts).toMatch(/^[0-9a-f]{64}$/);
    expect(before.facts).not.toBe(before.others);
    const same: Record<string, Change> = {
      comment: { "delay.ts": swap("return cap", "/* capped */ return cap") },
      formatting: { "catalog.ts": swap("(row) => ({ id: row.id,", "row => ({\n\n id : row.id,") },
      quotes: { "cap.ts": swap('.set("high"', ".set('high'") },
      types: { "delay.ts": swap("{ delay: number }", "{ delay: number; more?: string }") },
      description: { "catalog.ts": swap("a text", "another text") },
      version: { "catalog.ts": swap("version: 1", "version: 2") },
      columns: { "schema.ts": swap('integer("delay")', 'integer("delay").notNull()') },
      "unused helper": { "delay.ts": swap("unused = 1", "unused = 2") },
      "order of imports": {
        "catalog.ts": swap(
          'import * as t from "./schema.ts";',
          'import "./cap.ts";\nimport * as t from "./schema.ts";',
        ),
      },
      "another dataset": { "catalog.ts": swap("value * 2", "value * 3") },
    };
    for (const [name, change] of Object.entries(same))
      expect({ name, hash: (await hashes(change)).facts }).toEqual({ name, hash: before.facts });
  });

  it("follows the function, its helpers in other files, and what those are set to", async () => {
    const before = await hashes();
    const other: Record<string, Change> = {
      map: { "catalog.ts": swap("delay: delayOf(row)", "delay: -delayOf(row)") },
      helper: { "delay.ts": swap("/ 60", "/ 61") },
      "helper of a helper": { "cap.ts": swap("Math.min", "Math.max") },
      "state of a helper": { "cap.ts": swap("600", "700") },
    };
    for (const [name, change] of Object.entries(other)) {
      const after = await hashes(change);
      expect({ name, hash: after.facts }).not.toEqual({ name, hash: before.facts });
      expect({ name, hash: after.others }).toEqual({ name, hash: before.others });
    }
    expect((await hashes({ "catalog.ts": swap("value * 2", "value * 3") })).others).not.toBe(before.others);
  });

  it("takes the whole bundle where it cannot find a map", async () => {
    const factory: Change = {
      "catalog.ts": (text) =>
        text
          .replace("derived(t.facts, {", "make(t.facts, {")
          .replace("const flights", "const make = (a: any, b: any) => derived(a, b);\nconst flights"),
    };
    const before = (await hashes(factory)).facts;
    const changed = { ...factory, "delay.ts": swap("/ 60", "/ 61") };
    expect((await hashes(changed)).facts).not.toBe(before);
  });

  it("gives the same for the compiled module", async () => {
    const before = await hashes();
    const compiled = await withProject({}, async (folder) => {
      const { transform } = await import("esbuild");
      await mkdir(join(folder, "dist"));
      for (const [name, text] of Object.entries(files)) {
        const { code } = await transform(text, { loader: "ts", format: "esm" });
        await writeFile(join(folder, "dist", name.replace(".ts", ".js")), code.replaceAll('.ts"', '.js"'));
      }
      return hashMapCode(join(folder, "dist", "catalog.js"), ["facts"]);
    });
    expect(compiled.get("facts")).toBe(before.facts);
  });

  it("says which file does not bundle", async () => {
    const broken = hashes({ "delay.ts": () => "export const delayOf = (" });
    await expect(broken).rejects.toMatchObject({
      code: "configuration",
      message: expect.stringMatching(/cannot bundle.*delay\.ts/s),
    });
  });
});

describe("the lock file", () => {
  const catalog = aCatalog([
    { name: "flights", cut: "day", inputs: [] },
    { name: "facts", cut: "day", inputs: [{ from: "flights" }], map: true },
    { name: "by_day", cut: "day", inputs: [{ from: "facts" }] },
  ]);
  const one = "1".repeat(64);
  const two = "2".repeat(64);
  const lock = lockOf(catalog, new Map([["facts", one]]));

  it("is written and read as it is, for maps alone", async () => {
    expect(lock).toEqual({ version: 1, maps: { facts: { version: 1, hash: one } } });
    expect(parseLock(formatLock(lock))).toEqual(lock);
    expect(lockedHashes(lock)).toEqual({ maps: { facts: one } });
    await withProject({}, async (folder) => {
      const path = join(folder, "rederive.lock.json");
      expect(await readLockFile(path)).toBeUndefined();
      await writeLockFile(path, lock);
      expect(await readLockFile(path)).toEqual(lock);
    });
  });

  it("refuses what does not match, with what to run", () => {
    requireLock(catalog, lock);
    requireCurrentLock(catalog, lock, new Map([["facts", one]]));
    const refusal = (work: () => void) => {
      try {
        work();
      } catch (error) {
        if (isRederiveError(error)) return `${error.code}: ${error.message}`;
      }
      return "accepted";
    };
    expect(refusal(() => requireLock(catalog, undefined))).toMatch(
      /^lock_changed: .*facts is not in it; run rederive plan --update-lock/,
    );
    const older = { version: 1, maps: { facts: { version: 7, hash: one } } } as const;
    expect(refusal(() => requireLock(catalog, older))).toMatch(/version 1 in the catalog and 7 in it/);
    expect(refusal(() => requireCurrentLock(catalog, lock, new Map([["facts", two]])))).toMatch(
      /the code of the map of facts has changed/,
    );
    for (const text of ["<<<<<<< HEAD", "{}", '{"version":1,"maps":{"facts":{"version":1,"hash":"x"}}}']) {
      expect(refusal(() => parseLock(text))).toMatch(/^configuration: .*write it anew/);
    }
  });
});
