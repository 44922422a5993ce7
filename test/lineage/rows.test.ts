/** The input rows behind a hundred rows of the flights, against a search through all rows; and what is not exact. */
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { parseKey, type RowLineage, rowText } from "../../src/lineage/rows.ts";
import { type FlightsStage, withFlights } from "./flights.ts";

type Row = Readonly<Record<string, string>>;

/** All tables in memory, as text. */
interface World {
  readonly flight: readonly Row[];
  readonly flight_facts: readonly Row[];
  readonly airport_day: readonly Row[];
  readonly route_day: readonly Row[];
  readonly airport_month: readonly Row[];
  readonly airport_trend: readonly Row[];
}

async function worldOf({ database }: FlightsStage): Promise<World> {
  const tables = ["flight", "flight_facts", "airport_day", "route_day", "airport_month", "airport_trend"] as const;
  const read = async (table: string): Promise<Row[]> => {
    const rows = await database.query<{ row: Row }>(
      `select (select json_object_agg(key, value) from json_each_text(to_json(t))) as row from public.${table} t`,
    );
    return rows.map(({ row }) => row);
  };
  const found = await Promise.all(tables.map(async (table) => [table, await read(table)] as const));
  return Object.fromEntries(found) as unknown as World;
}

const days = 24 * 3_600_000;
const before = (day: string, count: number) => new Date(Date.parse(day) - count * days).toISOString().slice(0, 10);

/** By dataset: its key, and what each input contributes to a row, found by looking at every row of the input. */
const searches: Readonly<
  Record<string, { key: string[]; table: keyof World; from: Record<string, (world: World, row: Row) => Row[]> }>
> = {
  flight_facts: {
    ...{ key: ["id"], table: "flight_facts" },
    from: { flights: ({ flight }, row) => flight.filter(({ id }) => id === row["id"]) },
  },
  airport_day: {
    ...{ key: ["day", "airport"], table: "airport_day" },
    from: {
      facts: ({ flight_facts: facts }, { day, airport }) =>
        facts.filter((fact) => fact["flight_date"] === day && fact["origin"] === airport),
    },
  },
  route_day: {
    ...{ key: ["day", "origin", "destination"], table: "route_day" },
    from: {
      facts: ({ flight_facts: facts }, row) =>
        facts.filter(
          (fact) =>
            fact["flight_date"] === row["day"] && ["origin", "destination"].every((end) => fact[end] === row[end]),
        ),
    },
  },
  airport_month: {
    ...{ key: ["month", "airport"], table: "airport_month" },
    from: {
      days: ({ airport_day: of }, { month = "", airport }) =>
        of.filter((each) => each["day"]?.slice(0, 7) === month.slice(0, 7) && each["airport"] === airport),
    },
  },
  airport_trend: {
    ...{ key: ["day", "airport"], table: "airport_trend" },
    from: {
      today: ({ airport_day: of }, { day, airport }) =>
        of.filter((each) => each["day"] === day && each["airport"] === airport),
      week: ({ airport_day: of }, { day = "", airport }) =>
        of.filter(
          ({ day: other = "", airport: where }) => where === airport && other <= day && other >= before(day, 6),
        ),
    },
  },
};

const canonical = (rows: readonly Readonly<Record<string, string | null>>[]) =>
  // JSON has a T between date and time.
  rows
    .map((row) =>
      Object.values(row)
        .join("|")
        .replace(/(\d)T(\d)/, "$1 $2"),
    )
    .sort();

describe("row-level lineage", () => {
  it("equals a search through all rows, for a hundred rows, and says that it is exact", () =>
    withFlights(async (stage) => {
      await stage.run();
      const world = await worldOf(stage);
      const acting = stage.rederive.as(tester);
      let asked = 0;
      for (const [dataset, { key, table, from }] of Object.entries(searches)) {
        const rows = world[table];
        for (let turn = 0; turn < 20; turn += 1) {
          const row = rows[(turn * 7919 + 13) % rows.length] as Row;
          const wish = Object.fromEntries(key.map((name) => [name, row[name] ?? ""]));
          const found = await acting.lineageRow({ dataset, key: wish, rows: 10_000 });
          expect(found.inputs.map(({ input }) => input)).toEqual(Object.keys(from));
          for (const { input, exact, count, rows: given } of found.inputs) {
            const expected = from[input]?.(world, row) ?? [];
            expect([dataset, wish, input, exact, count]).toEqual([dataset, wish, input, true, expected.length]);
            expect(expected.length).toBeGreaterThan(0);
            const names = Object.keys(given[0] ?? {});
            expect(canonical(given)).toEqual(
              canonical(expected.map((each) => Object.fromEntries(names.map((name) => [name, each[name] ?? null])))),
            );
          }
          asked += 1;
        }
      }
      expect(asked).toBe(100);
      const ranked = await acting.lineageRow({ dataset: "airport_ranking", key: { airport: "ORD" } });
      // Its place depends on all the others, so all months are named, and it is said why.
      expect(ranked.inputs).toMatchObject([
        { input: "months", exact: false, count: world.airport_month.length, narrowedBy: [] },
      ]);
      expect(rowText(ranked).join("\n")).toContain("not exact: a window function looks at other rows too");
    }));

  it("says so where the row or its inputs are not what they were", () =>
    withFlights(async (stage) => {
      await stage.run();
      const acting = stage.rederive.as(tester);
      const ask = (): Promise<RowLineage> => acting.lineageRow({ dataset: "flight_facts", key: { id: "17" } });
      await stage.database.query("update public.flight set id = 900017 where id = 17");
      const [gone] = (await ask()).inputs;
      expect(gone).toMatchObject({
        exact: false,
        doubts: ["the map does not make this row of what its inputs are now"],
      });
      await stage.database.query("update public.flight set id = 17, delay = delay + 1 where id = 900017");
      expect(await ask()).toMatchObject({
        inputs: [{ exact: true, count: 1, narrowedBy: expect.arrayContaining(["id", "delay"]) as string[] }],
        warnings: ["rows of sources are shown as they are now"],
      });
      await expect(acting.lineageRow({ dataset: "flight_facts", key: { id: "0" } })).rejects.toMatchObject({
        code: "not_found",
      });
      await expect(acting.lineageRow({ dataset: "flight_facts", key: { id: "x" } })).rejects.toMatchObject({
        code: "usage",
      });
      await expect(acting.lineageRow({ dataset: "airport_day", key: { day: "2001-01-05" } })).rejects.toThrow(
        "airport, day",
      );
    }));

  it("reads keys as people write them", () => {
    expect(parseKey("day=2001-01-05,airport=ORD")).toEqual({ day: "2001-01-05", airport: "ORD" });
    expect(parseKey('{"name":"a,b=c","id":7}')).toEqual({ name: "a,b=c", id: "7" });
    for (const text of ["", "day", "{", '{"a":null}', "=1"]) expect(() => parseKey(text)).toThrow("is no key");
  });
});
