import { integer, pgTable } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineCatalog } from "../../src/catalog/catalog.ts";
import { source } from "../../src/catalog/dataset.ts";
import { isData } from "../../src/governance/data-fields.ts";
import { leastRole } from "../../src/governance/roles.ts";
import { inSight, outside, reach, type Sight, sightOf } from "../../src/governance/visibility.ts";
import { routes } from "../../src/server/routes.ts";

const of = (name: string, owner?: string) =>
  source(pgTable(name, { id: integer("id").primaryKey() }), owner === undefined ? {} : { owner });

const catalog = defineCatalog({
  datasets: [of("orders", "sales"), of("orders_late", "finance"), of("orders.eu", "finance"), of("nobodys")],
});
const ada = { name: "ada", role: "viewer", groups: ["finance"] } as const;
const sight = sightOf(ada, ["viewer"], catalog) as Sight;

describe("what a person sees", () => {
  it("is everything without groups, with a role that is not limited, and where none is", () => {
    const { groups: _, ...everywhere } = ada;
    expect(sightOf(everywhere, ["viewer"], catalog)).toBeUndefined();
    expect(sightOf({ ...ada, role: "approver" }, ["viewer"], catalog)).toBeUndefined();
    expect(sightOf(ada, [], catalog)).toBeUndefined();
  });

  it("is what their groups own, and what nobody owns", () => {
    expect([...sight.datasets]).toEqual(["orders_late", "orders.eu", "nobodys"]);
    expect([...(sightOf({ ...ada, groups: [] }, ["viewer"], catalog)?.datasets ?? [])]).toEqual(["nobodys"]);
    expect(sightOf({ ...ada, groups: ["sales", "finance"] }, ["viewer"], catalog)?.datasets.size).toBe(4);
  });

  it("is decided for every use case that there is", () => {
    expect(Object.keys(reach).sort()).toEqual(Object.keys(leastRole).sort());
  });
});

describe("an answer in sight", () => {
  it("has neither entries, names, keys nor words of what others own", () => {
    const answer = {
      datasets: [{ dataset: "orders" }, { dataset: "orders_late" }, { dataset: "gone from the catalog" }],
      names: ["orders", "orders.id", "orders.eu", "orders.eu.id", "orders_late", "orders_late.id"],
      expect: { datasets: { orders: 1, orders_late: 2 } },
      why: "orders, public.orders and (orders) went before orders_late and orders.eu",
      at: null,
      count: 7,
    };
    expect(inSight(sight, answer)).toEqual({
      datasets: [{ dataset: "orders_late" }],
      names: ["orders.eu", "orders.eu.id", "orders_late", "orders_late.id"],
      expect: { datasets: { orders_late: 2 } },
      why: `${outside}, ${outside} and (${outside}) went before orders_late and orders.eu`,
      at: null,
      count: 7,
    });
  });

  it("keeps rows, columns and what owners wrote as they are", () => {
    const answer = {
      evidence: { message: "1 row", rows: [{ orders: "orders", dataset: "orders" }] },
      before: { dataset: "orders" },
      columns: { orders: 3 },
      ownedColumns: ["orders", "id"],
      description: "orders per day",
      state: "done",
    };
    expect(inSight(sight, answer)).toEqual(answer);
  });

  it("keeps what happens to be called like something of others and is something else", () => {
    const label = "orders";
    const told = {
      dataset: "orders_late",
      requestedBy: label,
      owner: label,
      groups: [label],
      state: label,
      failedChecks: [
        {
          dataset: "orders_late",
          partition: label,
          name: label,
          severity: "error",
          evidence: { suspects: [{ input: label, dataset: "nobodys", partitions: label, from: label }] },
        },
      ],
      phases: [{ name: label, gate: "approval", tasks: 1, passedBy: label }],
      inputs: [{ name: label, dataset: "nobodys", mapping: label }],
      checks: [{ name: label, severity: "warn" }],
      steps: [{ dataset: "orders_late", partitions: [label], why: [{ code: label, partitions: [[0, 1]] }] }],
      request: { sample: { partitions: { orders_late: [label] } }, window: { from: "2001-01-01", to: "2001-01-02" } },
      validation: [{ dataset: "orders_late", checks: [label] }],
      entries: [{ actor: label, act: "x", details: { from: label, person: label } }],
      datasets: [{ dataset: "orders_late", samples: [{ dataset: label, id: "1" }], orders: 1 }],
    };
    expect(inSight(sight, told)).toEqual(told);
  });

  it("has no names of others within those of candidates, constraints and indexes", () => {
    const counts = pgTable("counts", { count: integer("orders_count").primaryKey() });
    const more = defineCatalog({
      datasets: [
        ...[of("orders", "sales"), of("pay.slips", "sales"), of("orders_late", "finance")],
        ...[of("orders.eu", "finance"), of("candidate", "sales"), source(counts, { owner: "finance" })],
      ],
    });
    const told = (text: string) => inSight(sightOf(ada, ["viewer"], more) as Sight, { text }).text;
    const cut = {
      "rederive_candidate.orders__bf_1 and rederive_restore.orders__bf_1": `rederive_candidate.${outside} and rederive_restore.${outside}`,
      '"rederive_candidate"."pay_slips__bf_1"': `"rederive_candidate"."${outside}"`,
      "foreign key orders_dept_fkey of public.orders": `foreign key ${outside} of ${outside}`,
      "orders_pkey, fk_orders, orders_late_orders_id_fkey": `${outside}, fk_${outside}, orders_late_${outside}`,
      "orders_count_key of orders": `${outside} of ${outside}`,
    };
    expect(Object.keys(cut).map(told)).toEqual(Object.values(cut));
    const theirs = [
      "rederive_candidate.orders_late__bf_1, orders_late_pkey, idx_orders_late, public.orders_late",
      "rederive_candidate.orders_eu__bf_1 of orders.eu",
      "column orders_count is null, reorders, orders2",
    ];
    expect(theirs.map(told)).toEqual(theirs);
  });

  it("has nothing of others in fields of the same name that are about datasets", () => {
    const answer = {
      datasets: [{ name: "orders", kind: "source" }],
      columns: [{ dataset: "orders", column: "id", type: null }],
      moved: [{ dataset: "orders_late", input: "orders", tasks: 2 }],
      why: [{ code: "upstream_recomputed", because: "orders" }],
      edges: [{ from: "orders", to: "orders_late" }],
      missing: { orders: [[0, 1]], orders_late: [[0, 1]] },
    };
    expect(inSight(sight, answer)).toEqual({
      datasets: [],
      columns: [],
      moved: [{ dataset: "orders_late", input: outside, tasks: 2 }],
      why: [{ code: "upstream_recomputed", because: outside }],
      edges: [{ from: outside, to: "orders_late" }],
      missing: { orders_late: [[0, 1]] },
    });
  });
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema | boolean;
  readonly prefixItems?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly additionalProperties?: Schema | boolean;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
}

describe("the fields of all answers", () => {
  const words = new Set<string>();
  const texts = new Set<string>();
  const look = (schema: Schema | boolean | undefined, key: string, parent: object): void => {
    // Settings of Postgres and what is guaranteed are data as a whole.
    if (typeof schema !== "object" || key === "pins" || key === "guarantees") return;
    if ([schema.type].flat().includes("string") || typeof schema.const === "string") {
      const isWord = schema.enum !== undefined || schema.const !== undefined;
      if (!isData(key, "", parent as Record<string, unknown>)) (isWord ? words : texts).add(key);
    }
    const { items, prefixItems = [], anyOf = [], oneOf = [], allOf = [], properties = {}, $defs = {} } = schema;
    for (const each of [items, ...prefixItems, ...anyOf, ...oneOf, ...allOf]) look(each, key, parent);
    look(schema.additionalProperties, key, parent);
    for (const [name, each] of Object.entries(properties)) look(each, name, properties);
    for (const each of Object.values($defs)) look(each, "", {});
  };
  for (const { answer } of routes)
    look(z.toJSONSchema(answer, { io: "input", unrepresentable: "any" }) as Schema, "", {});

  it("with words of our own are data", () => {
    expect([...words]).toEqual([]);
  });

  it("that are looked through are these", () => {
    const names = [
      "dataset",
      "datasets",
      "exposure",
      "reader",
      "name",
      "reads",
      "diverged",
      "sources",
      "through",
      "table",
    ];
    const ends = ["from", "to", "roots", "id"];
    const sentences = [
      ...["reason", "requestReason", "requestedBecause", "promotedBecause", "stateReason", "holdReason", "because"],
      ...[
        "comment",
        "message",
        "error",
        "what",
        "seen",
        "mitigation",
        "looked",
        "warnings",
        "causes",
        "doubts",
        "aspects",
      ],
      ...["replacedBy", "sql", "query", "where", "type"],
    ];
    const instants = [
      ...["at", "asOf", "time", "since", "seenAt", "expected", "deadline", "expiresAt", "oldestAt", "forwardFrom"],
      ...["createdAt", "startedAt", "finishedAt", "judgedAt", "passedAt", "capturedAt", "decidedAt", "computedAt"],
      ...["promotedAt", "removeAfter"],
    ];
    expect([...texts].sort()).toEqual([...names, ...ends, ...sentences, ...instants, "csrf", "next"].sort());
  });
});
