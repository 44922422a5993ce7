import { sql } from "drizzle-orm";
import { describe, expect, it } from "vitest";
import { check } from "../../src/catalog/check.ts";
import { custom, derived, lookback, source } from "../../src/catalog/dataset.ts";
import { definitionOf, queueOf } from "../../src/catalog/definition.ts";
import { daily } from "../../src/catalog/scheme.ts";
import { eventRows, events, totals } from "./support.ts";

const select = () => sql`select 1`;
const common = { version: 1, key: [totals.day], partitions: daily(totals.day), inputs: { events: eventRows }, select };
const hashWith = (options: object) => definitionOf(derived(totals, { ...common, ...options } as never));
const plain = hashWith({});

const bucket = (name: string) => custom(eventRows, { name, upstream: () => [], downstream: () => [] });

describe("definitionOf", () => {
  it("is 64 hexadecimal digits", () => {
    expect(plain).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each<[string, object]>([
    ["description", { description: "x" }],
    ["owner", { owner: "x" }],
    ["checks", { checks: [check.rowCount({ min: 1 })] }],
    ["limits", { limits: { concurrency: 1 } }],
    ["resource", { resource: "api" }],
    ["attempts and timeout", { attempts: 1, timeoutMs: 1 }],
    ["declared functions and triggers", { functions: ["f"], allowTriggers: ["t"] }],
    [
      "an input's description",
      { inputs: { events: source(events, { partitions: daily(events.at), description: "x" }) } },
    ],
  ])("does not change with %s", (_, options) => {
    expect(hashWith(options)).toBe(plain);
  });

  it("changes with everything that decides about the data", () => {
    const changes: object[] = [
      { version: 2 },
      { key: [totals.day, totals.code] },
      { owned: [totals.day, totals.code] },
      { partitions: daily(totals.day, { timeZone: "Europe/Bratislava" }) },
      { inputs: {} },
      { inputs: { other: eventRows } },
      { inputs: { events: lookback(eventRows, 1) } },
      { inputs: { events: lookback(eventRows, 2) } },
      { inputs: { events: bucket("a") } },
      { inputs: { events: bucket("b") } },
      { inputs: { events: source(events, { partitions: daily(events.day) }) } },
      { select: () => sql`select 2` },
      { select: undefined, read: readEvents, map: () => null },
    ];
    expect(new Set([plain, ...changes.map(hashWith)]).size).toBe(changes.length + 1);
  });

  it("takes a map from the lock file, not from the function's text", () => {
    const one = derived(totals, { ...common, select: undefined, read: readEvents, map: () => null } as never);
    const other = derived(totals, { ...common, select: undefined, read: readEvents, map: () => [] } as never);
    expect(definitionOf(one)).toBe(definitionOf(other));
    const lock = (hash: string) => ({ maps: { totals: hash } });
    expect(definitionOf(one, lock("a"))).not.toBe(definitionOf(one, lock("b")));
    expect(definitionOf(one, lock("a"))).toBe(definitionOf(other, lock("a")));
  });
});

function readEvents({
  db,
  events: rows,
}: {
  db: { select(): { from(table: unknown): unknown } };
  events: unknown;
}): unknown {
  return db.select().from(rows);
}

describe("queueOf", () => {
  it("is shared, unless a dataset or its resource is limited", () => {
    expect(queueOf(derived(totals, common))).toBe("backfill");
    expect(queueOf(derived(totals, { ...common, resource: "api" }))).toBe("resource-api");
    expect(queueOf(derived(totals, { ...common, limits: { concurrency: 1 } }))).toBe("resource-totals");
  });
});
