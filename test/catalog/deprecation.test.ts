import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { defineCatalog } from "../../src/catalog/catalog.ts";
import { exposure, source } from "../../src/catalog/dataset.ts";
import type { SourceOptions } from "../../src/catalog/typing.ts";

const orders = pgTable("orders", { id: integer("id").notNull(), total: text("total") });
const others = pgTable("others", { id: integer("id") });

function faultsOf(options: SourceOptions<typeof orders>): readonly string[] {
  try {
    defineCatalog({ datasets: [source(orders, options)] });
    return [];
  } catch (error) {
    return (error as { details: { faults: string[] } }).details.faults;
  }
}

describe("a deprecation", () => {
  const since = "2001-01-31";

  it("has dates in order, and is of a column that there is", () => {
    expect(faultsOf({ deprecated: { since, replacedBy: "sales", removeAfter: "2001-07-31" } })).toEqual([]);
    expect(faultsOf({ deprecatedColumns: [{ column: orders.total, since, removeAfter: since }] })).toEqual([]);
    expect(faultsOf({ deprecated: { since: "soon" } })).toEqual([
      'orders: deprecated: since is "soon"; write a date such as 2001-01-31',
    ]);
    expect(faultsOf({ deprecated: { since: "2001-02-30" } })).toHaveLength(1);
    expect(faultsOf({ deprecated: { since, removeAfter: "2001-01-30" } })).toEqual([
      "orders: deprecated: removeAfter is 2001-01-30, before 2001-01-31; give a later date",
    ]);
    expect(faultsOf({ deprecated: { since, replacedby: "sales" } as never })).toEqual([
      'orders: deprecated: unknown option "replacedby" (did you mean "replacedBy"?)',
    ]);
    expect(faultsOf({ deprecatedColumns: [{ column: others.id, since }] })).toEqual([
      "orders: deprecatedColumns: others.id is not in public.orders",
    ]);
    expect(
      faultsOf({
        deprecatedColumns: [
          { column: orders.total, since },
          { column: orders.total, since },
        ],
      }),
    ).toEqual(["orders: deprecatedColumns: total is listed twice"]);
  });
});

describe("the key of a source", () => {
  it("is of its own columns", () => {
    expect(faultsOf({ key: [orders.id, orders.total] })).toEqual([]);
    expect(faultsOf({ key: [] })).toEqual(["orders: key names no column; leave it out"]);
    expect(faultsOf({ key: [others.id as never] })).toEqual([
      "orders: the key column others.id is not in public.orders",
    ]);
  });
});

describe("the columns of an exposure", () => {
  const dotted = source(orders, { name: "shop.orders" });

  it("are columns of what it reads, by value or by name", () => {
    const { columns, faults } = exposure("board", {
      reads: [dotted],
      columns: [orders.id, "shop.orders.total", "shop.orders.total character varying(3)"],
      criticality: "low",
    });
    expect(faults).toEqual([]);
    expect(columns).toEqual([
      { dataset: "shop.orders", column: "id", type: null },
      { dataset: "shop.orders", column: "total", type: null },
      { dataset: "shop.orders", column: "total", type: "character varying(3)" },
    ]);
  });

  it("are refused by name", () => {
    const undefinedColumn = undefined as unknown as string;
    const { columns, faults } = exposure("board", {
      reads: [dotted],
      columns: [others.id, "total", undefinedColumn],
      criticality: "low",
    });
    expect(columns).toEqual([]);
    expect(faults.map((fault) => fault.slice(0, 40))).toEqual([
      'columns has "id", which is no column of ',
      'columns has "total", which is no column ',
      'columns has "undefined", which is no col',
    ]);
  });
});
