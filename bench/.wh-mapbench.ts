import { pipeline } from "node:stream/promises";
import { bigint, boolean, date, integer, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { derived, source } from "/work/main/src/catalog/dataset.ts";
import { range } from "/work/main/src/catalog/scheme.ts";
import { taskProbes } from "/work/main/src/validation/compile.ts";
import { candidateNames, createCandidate } from "/work/main/src/warehouse/candidate.ts";
import { liveColumns, ownedOf } from "/work/main/src/warehouse/columns.ts";
import { liveConstraints } from "/work/main/src/warehouse/constraints.ts";
import { openSession } from "/work/main/src/warehouse/session.ts";
import { computeMap } from "/work/main/src/warehouse/stream.ts";

const url = process.env.U!;
const N = Number(process.argv[2] ?? 500000);
const reps = Number(process.argv[3] ?? 3);
const flights = pgTable("bf_flights", {
  id: bigint("id", { mode: "number" }).notNull(),
  at: timestamp("at", { withTimezone: true, mode: "string" }),
  delay: integer("delay"),
  distance: integer("distance"),
  origin: text("origin"),
  destination: text("destination"),
});
const facts = pgTable("bf_facts", {
  id: bigint("id", { mode: "number" }).notNull(),
  day: date("day"),
  delay: integer("delay"),
  late: boolean("late"),
  distance: integer("distance"),
  route: text("route"),
});
const input = source(flights, { partitions: range(flights.id, 1000000000) });
const d: any = derived(facts, {
  version: 1,
  key: [facts.id],
  owned: [facts.id, facts.day, facts.delay, facts.late, facts.distance, facts.route],
  partitions: range(facts.id, 1000000000),
  inputs: { input },
  read: ({ db, input: i }: any) =>
    db
      .select({
        id: i.id,
        at: i.at,
        delay: i.delay,
        distance: i.distance,
        origin: i.origin,
        destination: i.destination,
      })
      .from(i),
  map: ((r: any) => ({
    id: r.id,
    day: r.at.slice(0, 10),
    delay: r.delay,
    late: r.delay > 15,
    distance: r.distance,
    route: `${r.origin}-${r.destination}`,
  })) as never,
} as never);
const s = await openSession(url, { applicationName: "b" });
const reader = await openSession(url, { applicationName: "r" });
await s.query(
  `drop table if exists bf_flights, bf_facts; create table bf_flights (id int8, at timestamptz, delay int, distance int, origin text, destination text); create table bf_facts(id int8 primary key, day date, delay int, late bool, distance int, route text)`,
);
await s.query(
  `insert into bf_flights select i, '2001-01-01Z'::timestamptz + i * interval '5 s', (i % 100) - 30, 100 + i % 3000, 'A' || i % 200, 'B' || i % 211 from generate_series(1, ${N}) i`,
);
await s.query("vacuum analyze bf_flights");
const cols = ownedOf(d, await liveColumns(s, d));
const { candidate } = candidateNames("bf_facts", "bf_b");
await s.query(`drop table if exists ${candidate}`);
await createCandidate(s, d, cols, candidate);
const probes = taskProbes(d, cols, await liveConstraints(s, d));
const spec: any = {
  derived: d,
  ordinal: 0,
  candidate,
  columns: cols,
  probes,
  replace: false,
  bindings: [{ input: d.inputs[0], recomputed: [], candidate: "", live: [[0, 1]] }],
};
const t: Record<string, number[]> = {};
let maxRss = 0;
const iv = setInterval(() => {
  maxRss = Math.max(maxRss, process.memoryUsage().rss);
}, 50);
let lag = 0,
  last = performance.now();
const lv = setInterval(() => {
  const n = performance.now();
  lag = Math.max(lag, n - last - 10);
  last = n;
}, 10);
async function time(k: string, f: () => Promise<void>) {
  await s.query(`truncate ${candidate}`);
  await s.query("begin isolation level repeatable read");
  const a = performance.now();
  await f();
  const e = performance.now() - a;
  await s.query("commit");
  (t[k] ??= []).push(e);
}
for (let i = 0; i < reps; i++) {
  await time("pipe", async () => {
    await pipeline(
      reader.copyOut(
        `copy (select id, at::date, delay, delay>15, distance, origin||'-'||destination from bf_flights) to stdout`,
      ),
      s.copyIn(`copy ${candidate} from stdin`),
    );
  });
  let m: any;
  await time("map", async () => {
    m = await computeMap(s, reader, spec, new AbortController().signal);
  });
  if (i === 0) console.log(m);
  await time("measure-only-part", async () => {});
}
if (process.argv[4] === "naive")
  await time("naive", async () => {
    await reader.query(
      "begin; declare c cursor for select id, at, delay, distance, origin, destination from bf_flights",
    );
    for (;;) {
      const rows = await reader.query<any>("fetch 1000 from c");
      if (!rows.length) break;
      const p: unknown[] = [];
      const v = rows.map((r: any) => {
        const b = p.length;
        p.push(
          r.id,
          r.at.toISOString().slice(0, 10),
          r.delay,
          r.delay > 15,
          r.distance,
          `${r.origin}-${r.destination}`,
        );
        return `($${b + 1},$${b + 2},$${b + 3},$${b + 4},$${b + 5},$${b + 6})`;
      });
      await s.query(`insert into ${candidate} values ${v.join(",")}`, p);
    }
    await reader.query("commit");
  });
clearInterval(iv);
clearInterval(lv);
console.log(
  N,
  Object.fromEntries(Object.entries(t).map(([k, v]) => [k, v.map((x) => Math.round(x))])),
  "rss MB",
  Math.round(maxRss / 1e6),
  "lag ms",
  Math.round(lag),
);
await s.query(`drop table ${candidate}, bf_flights, bf_facts`);
await s.end();
await reader.end();
