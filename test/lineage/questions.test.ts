/** Twenty questions that people ask of lineage, each answered by a statement that somebody wrote by hand as well. */
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Acting } from "../../src/acting.ts";
import type { Computed, Lineage } from "../../src/lineage/graph.ts";
import { withFlights } from "./flights.ts";

/** Between the two promotions. */
let beforeTheLast = "";

const day = "2001-01-10";
const ordinal = "(date '2001-01-10' - date '1970-01-01')";

interface Question {
  readonly asked: string;
  readonly answer: (acting: Acting) => Promise<unknown>;
  /** One row with one column, `answer`. */
  readonly sql: string;
}

const up = (acting: Acting, dataset: string, partition?: string, asOf?: string) =>
  acting.lineage({ dataset, partition, direction: "up", asOf });
const down = (acting: Acting, dataset: string, partition: string) =>
  acting.lineage({ dataset, partition, direction: "down" });

function rootOf({ nodes, roots }: Lineage): Computed | null | undefined {
  return nodes.find(({ id }) => id === roots[0])?.computed;
}

/** Names of the datasets at the other end of edges to or from the roots, in order. */
function near({ edges, roots }: Lineage, side: "from" | "to"): string[] {
  const other = side === "from" ? "to" : "from";
  const found = edges.filter((edge) => roots.includes(edge[other])).map((edge) => edge[side].replace(/@.*/, ""));
  return [...new Set(found)].sort();
}

/** A column of the live stamp of the day. */
const stamped = (dataset: string, column: string) =>
  `select ${column} as answer from rederive.live l join rederive.stamp s on s.id = l.stamp join rederive.backfill b on b.id = s.backfill
   where l.dataset = '${dataset}' and l.partition = ${ordinal}`;

const promotion = (column: string) =>
  `select a.${column} as answer from rederive.live l join rederive.audit a on a.backfill = l.backfill and a.act = 'backfill.promote'
   where l.dataset = 'airport_day' and l.partition = ${ordinal}`;

const readers = (dataset: string) =>
  `select array_agg(distinct s.dataset order by s.dataset) as answer from rederive.live l join rederive.stamp s on s.id = l.stamp
   cross join lateral jsonb_array_elements(s.inputs) i
   cross join lateral jsonb_array_elements((i -> 'recomputed') || (i -> 'live')) r
   where i ->> 'dataset' = '${dataset}' and ${ordinal} >= (r ->> 0)::int8 and ${ordinal} < (r ->> 1)::int8`;

const questions: readonly Question[] = [
  {
    asked: "which backfill made this partition",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.backfill,
    sql: stamped("airport_day", "s.backfill"),
  },
  {
    asked: "with which version of the transform",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.version,
    sql: stamped(
      "airport_day",
      "(select (step -> 'version')::int from jsonb_array_elements(b.decision::jsonb -> 'steps') step where step ->> 'dataset' = s.dataset and step ->> 'action' = 'recompute')",
    ),
  },
  {
    asked: "with which code",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.definition,
    sql: stamped("airport_day", "s.definition"),
  },
  {
    asked: "with which statement, as Postgres understood it",
    answer: async (a) => rootOf(await up(a, "route_day", day))?.fingerprint,
    sql: stamped("route_day", "s.fingerprint"),
  },
  {
    asked: "how many rows it has",
    answer: async (a) => rootOf(await up(a, "route_day", day))?.rows,
    sql: "select count(*)::float8 as answer from public.route_day where day = '2001-01-10'",
  },
  {
    asked: "what its content hash is",
    answer: async (a) => rootOf(await up(a, "flight_facts", day))?.outputHash,
    sql: stamped("flight_facts", "s.output_hash"),
  },
  {
    asked: "which worker computed it",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.workers,
    sql: stamped("airport_day", "array[s.worker]"),
  },
  {
    asked: "by which plan",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.planHash,
    sql: stamped("airport_day", "b.plan_hash"),
  },
  {
    asked: "why it was computed",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.requestedBecause,
    sql: stamped("airport_day", "b.reason"),
  },
  {
    asked: "who asked for it",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.requestedBy,
    sql: stamped("airport_day", "b.requested_by"),
  },
  {
    asked: "who made it live",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.promotedBy,
    sql: promotion("actor"),
  },
  {
    asked: "why it was made live",
    answer: async (a) => rootOf(await up(a, "airport_day", day))?.promotedBecause,
    sql: promotion("reason"),
  },
  {
    asked: "what it was computed from",
    answer: async (a) => near(await up(a, "airport_trend", day), "from"),
    sql: `select array_agg(distinct i ->> 'dataset') as answer from (${stamped("airport_trend", "s.inputs")}) s cross join lateral jsonb_array_elements(s.answer) i`,
  },
  {
    asked: "which days of the week before were read as they were live",
    answer: async (a) =>
      (await up(a, "airport_trend", day)).edges
        .filter(({ input, read }) => input === "week" && read === "live")
        .map(({ partitions }) => partitions),
    sql: `select array[format('%s to %s (%s)', date '1970-01-01' + min((r ->> 0)::int), date '1970-01-01' + max((r ->> 1)::int) - 1,
        sum((r ->> 1)::int - (r ->> 0)::int))] as answer
      from (${stamped("airport_trend", "s.inputs")}) s cross join lateral jsonb_array_elements(s.answer) i
      cross join lateral jsonb_array_elements(i -> 'live') r where i ->> 'input' = 'week'`,
  },
  {
    asked: "what was computed from a day of the facts",
    answer: async (a) => near(await down(a, "flight_facts", day), "to"),
    sql: readers("flight_facts"),
  },
  {
    asked: "what was computed from a day of an airport's delays",
    answer: async (a) => near(await down(a, "airport_day", day), "to"),
    sql: readers("airport_day"),
  },
  {
    asked: "what everything goes back to",
    answer: async (a) =>
      (await up(a, "airport_ranking")).nodes.filter(({ kind }) => kind === "source").map(({ dataset }) => dataset),
    sql: "select array['flight'] as answer",
  },
  {
    asked: "which exposures a day of the source reaches",
    answer: async (a) => (await down(a, "flight", day)).exposures.map(({ name }) => name).sort(),
    sql: "select array_agg(name order by name) as answer from rederive.exposure",
  },
  {
    asked: "how many backfills the live facts come from",
    answer: async (a) => (await up(a, "flight_facts")).roots.length,
    sql: "select count(distinct backfill)::int as answer from rederive.live where dataset = 'flight_facts'",
  },
  {
    asked: "which backfill's rows were live before the last promotion",
    answer: async (a) => rootOf(await up(a, "airport_day", day, beforeTheLast))?.backfill,
    sql: `select prior ->> 'backfill' as answer from rederive.live_before where dataset = 'airport_day' and partition = ${ordinal} and prior is not null`,
  },
];

describe("twenty questions", () => {
  it("are answered as statements written by hand answer them", () =>
    withFlights(async (stage) => {
      await stage.run();
      beforeTheLast = new Date().toISOString();
      await stage.database.query("update public.flight set delay = delay + 5 where departed_at::date = '2001-01-10'");
      await stage.run({ datasets: ["flight_facts"], partitions: [day] });
      const acting = stage.rederive.as(tester);
      await acting.exposure("route-export");
      expect(questions).toHaveLength(20);
      for (const { asked, answer, sql } of questions) {
        const [row] = await stage.database.query<{ answer: unknown }>(sql);
        expect(row?.answer, asked).toBeDefined();
        expect([asked, await answer(acting)]).toEqual([asked, row?.answer]);
      }
    }));
});
