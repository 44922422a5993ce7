import { integer, pgTable } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { defineCatalog } from "../../src/catalog/catalog.ts";
import { source } from "../../src/catalog/dataset.ts";
import { leastRole } from "../../src/governance/roles.ts";
import { inSight, outside, reach, type Sight, sightOf } from "../../src/governance/visibility.ts";

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
});
