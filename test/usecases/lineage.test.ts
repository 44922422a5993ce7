/** Lineage of datasets and partitions, told by the stamps, against hand-made SQL and against what was done. */
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { columnsText } from "../../src/lineage/columns.ts";
import { type Lineage, lineageText } from "../../src/lineage/graph.ts";
import type { Rederive } from "../../src/rederive.ts";
import { facts, recompute, shop, withShop } from "./shop.ts";

const day = "2026-01-05";

describe("lineage", () => {
  it("tells what one partition was computed from, with who and why", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const found = await rederive.as(tester).lineage({ dataset: "revenue", partition: day });
      const [stamp] = await stage.database.query<Record<string, unknown>>(
        `select s.backfill, s.fingerprint, s.definition, s.output_hash as "outputHash", s.rows_written::float8 as rows,
           s.worker, b.plan_hash as "planHash"
         from rederive.live l join rederive.stamp s on s.id = l.stamp join rederive.backfill b on b.id = s.backfill
         where l.dataset = 'revenue' and l.partition = date '2026-01-05' - date '1970-01-01'`,
      );
      const { worker, ...expected } = stamp ?? {};
      expect(nodeOf(found, "revenue").computed).toMatchObject({
        ...expected,
        ...{ workers: [worker], version: 1, live: "all", requestedBy: "tester", requestedBecause: "test" },
        ...{ promotedBy: "tester", promotedBecause: "first", confirmedBy: null },
      });
      const backfill = String(expected["backfill"]);
      expect(found.roots).toEqual([`revenue@${backfill}`]);
      expect(found.edges).toEqual([
        { from: `facts@${backfill}`, to: `revenue@${backfill}`, input: "facts", read: "candidate", partitions: day },
        { from: "orders", to: `facts@${backfill}`, input: "orders", read: "live", partitions: day },
      ]);
      expect(nodeOf(found, "orders")).toMatchObject({ kind: "source", partitions: day, computed: null });
    }));

  it("follows a source down to everything that read it", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const found = await rederive.as(tester).lineage({ dataset: "orders", partition: day, direction: "down" });
      expect(found.nodes.map(({ dataset, partitions }) => [dataset, partitions])).toEqual([
        ["orders", day],
        ["facts", day],
        ["revenue", day],
      ]);
      const near = await rederive
        .as(tester)
        .lineage({ dataset: "orders", partition: day, direction: "down", depth: 1 });
      expect(near.nodes.map(({ dataset }) => dataset)).toEqual(["orders", "facts"]);
    }));

  it("tells apart what was read live from what the same backfill computed", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const first = await liveBackfill(rederive, "facts");
      await stage.database.query("update orders set amount = 99 where id = 85");
      const alone = await stage.open(shop({ without: "revenue" }));
      const { backfill } = await recompute(alone, "facts", ["2026-01-05"]);
      await backfill.promote({ reason: "facts alone" });
      const found = await rederive.as(tester).lineage({ dataset: "revenue", partition: day, direction: "up" });
      // Revenue of that day was made of what facts were before.
      expect(found.edges.map(({ from }) => from)).toEqual([`facts@${first}`, "orders"]);
      expect(nodeOf(found, "facts").computed).toMatchObject({ live: "none", backfill: first });
      const down = await rederive.as(tester).lineage({ dataset: "facts", partition: day, direction: "down" });
      expect(down.roots).toEqual([`facts@${backfill.id}`]);
      expect(down.edges.map(({ from, to }) => [from, to])).toEqual([[`facts@${first}`, `revenue@${first}`]]);
      expect(lineageText(found).join("\n")).toContain("(replaced since)");
    }));

  it("knows what was live at an instant, through promotions and rollbacks", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const first = await liveBackfill(rederive, "facts");
      const before = await clock(stage.database);
      await stage.database.query("update orders set amount = 99 where id = 85");
      const { backfill } = await recompute(rederive, "facts", [day]);
      await backfill.promote({ reason: "second" });
      const between = await clock(stage.database);
      await backfill.rollback({ reason: "a mistake" });
      const after = await clock(stage.database);
      await backfill.promote({ reason: "no mistake" });
      const at = async (asOf?: string): Promise<string[]> =>
        (await rederive.as(tester).lineage({ dataset: "facts", partition: day, direction: "up", asOf })).roots.map(
          (root) => root.replace(/.*@/, ""),
        );
      expect(await at("2020-01-01")).toEqual(["facts"]);
      expect(await at(before)).toEqual([first]);
      expect(await at(between)).toEqual([backfill.id]);
      expect(await at(after)).toEqual([first]);
      expect(await at()).toEqual([backfill.id]);
      // To the microsecond: at the instant of the promotion it is there, just before it is not.
      const [row] = await stage.database.query<{ promoted: string; before: string }>(
        `select ${utc("at")} as promoted, ${utc("at - interval '1 microsecond'")} as before
         from rederive.audit where backfill = $1::text and act = 'backfill.promote' order by at limit 1`,
        [backfill.id],
      );
      expect([await at(row?.before), await at(row?.promoted)]).toEqual([[first], [backfill.id]]);
    }));

  it("says that content was found to be the same, and by whom", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      // All facts are computed again and come out as they are, so revenue is not computed.
      const { backfill } = await recompute(rederive, "facts", [day]);
      await backfill.promote({ reason: "again" });
      const found = await rederive.as(tester).lineage({ dataset: "revenue", partition: day, direction: "up" });
      expect(nodeOf(found, "revenue").computed).toMatchObject({ confirmedBy: backfill.id, live: "all" });
      expect(lineageText(found).join("\n")).toContain(`found to be the same by ${backfill.id}`);
    }));

  it("groups all partitions of a dataset by the backfill that made them, as the live pointers do", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("update orders set amount = 99 where id in (85, 105)");
      const { backfill } = await recompute(rederive, "facts", [day, "2026-01-06"]);
      await backfill.promote({ reason: "second" });
      const found = await rederive.as(tester).lineage({ dataset: "facts", direction: "up" });
      const live = await stage.database.query(
        `select backfill, range_agg(int8range(partition, partition + 1))::text as partitions, sum(rows)::float8 as rows
         from rederive.live where dataset = 'facts' group by backfill order by backfill`,
      );
      const asked = found.roots
        .map((root) => found.nodes.find(({ id }) => id === root))
        .map((node) => ({
          backfill: node?.computed?.backfill,
          partitions: `{${node?.ranges?.map(([from, to]) => `[${from},${to})`).join(",")}}`,
          rows: node?.computed?.rows,
        }));
      expect(asked.sort((a, b) => String(a.backfill).localeCompare(String(b.backfill)))).toEqual(live);
    }));

  it("follows columns through the datasets between to the sources", () =>
    withShop(async (stage) => {
      const acting = (await stage.open(shop())).as(tester);
      const found = await acting.lineageColumns("revenue");
      expect(found.columns.map(({ column, sources }) => [column, sources])).toEqual([
        ["day", ["orders.at"]],
        ["currency", ["orders.currency"]],
        ["orders", []],
        ["amount", ["orders.amount"]],
      ]);
      expect([found.proven, found.sourcesProven]).toEqual([true, true]);
      expect(columnsText(found)).toContain("  amount  ← facts.amount (aggregation)");
      expect(columnsText(found)).toContain("  its rows  ← facts.day (group), facts.currency (group)");
      await expect(acting.lineageColumns("orders")).rejects.toMatchObject({ code: "usage" });
    }));

  it("shows no masked value among the rows behind a row", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ facts: { mask: [facts.amount] } }));
      const key = { day, currency: "EUR" };
      const found = await rederive.as(tester).lineageRow({ dataset: "revenue", key, rows: 50 });
      expect(found).toMatchObject({
        row: { amount: "(masked)" },
        inputs: [{ exact: true, count: 12, narrowedBy: ["day", "currency"] }],
      });
      expect(new Set(found.inputs[0]?.rows.map(({ amount }) => amount))).toEqual(new Set(["(masked)"]));
      const [fact] = (await rederive.as(tester).lineageRow({ dataset: "facts", key: { id: "85" } })).inputs;
      // The source's column of another name may be the masked one as well.
      expect(fact).toMatchObject({ exact: true, count: 1, rows: [{ id: "85", amount: "(masked)", at: "(masked)" }] });
    }));

  it("refuses what does not exist", () =>
    withShop(async (stage) => {
      const acting = (await stage.open(shop())).as(tester);
      await expect(acting.lineage({ dataset: "fact" })).rejects.toThrow('did you mean "facts"');
      await expect(acting.lineage({ dataset: "facts", partition: "x" })).rejects.toMatchObject({ code: "not_found" });
      await expect(acting.lineage({ dataset: "facts", asOf: "yesterday" })).rejects.toMatchObject({ code: "usage" });
      expect(lineageText(await acting.lineage({ dataset: "facts", partition: day }))[1]).toContain(
        "made by no backfill",
      );
    }));
});

function nodeOf(found: Lineage, dataset: string): Lineage["nodes"][number] {
  const node = found.nodes.find((each) => each.dataset === dataset);
  if (node === undefined) throw new Error(`no ${dataset} in ${JSON.stringify(found)}`);
  return node;
}

async function liveBackfill(rederive: Rederive, dataset: string): Promise<string> {
  const found = await rederive.as(tester).lineage({ dataset, direction: "up", depth: 1 });
  return found.roots[0]?.replace(/.*@/, "") ?? "";
}

const utc = (expression: string) => `to_char((${expression}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

async function clock(database: { query<Row>(text: string): Promise<Row[]> }): Promise<string> {
  const [row] = await database.query<{ now: string }>(`select ${utc("clock_timestamp()")} as now`);
  return row?.now ?? "";
}
