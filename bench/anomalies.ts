/**
 * `npx tsx bench/anomalies.ts`: what the metrics of the three million flights cost, and how well anomalies are told.
 *
 * Loads the flights, computes their facts in one statement, and measures every day as a verification would. With --write
 * the daily metrics become test/fixtures/flights-days.ndjson, by which a test holds the detectors to these rates.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import pg from "pg";
import { flightFacts, flightsCatalog } from "../examples/flights/catalog.ts";
import { loadFlights } from "../examples/flights/load.ts";
import { resolveSettings } from "../src/config.ts";
import { openDatabase } from "../src/store/postgres.ts";
import { liveColumns, ownedOf } from "../src/warehouse/columns.ts";
import { isProfiled, measurable, profile } from "../src/warehouse/profile.ts";
import { interleave } from "./measure.ts";
import { ratesOf, toldOfSum } from "./planted.ts";
import { startServers } from "./servers.ts";

const fixture = new URL("../test/fixtures/flights-days.ndjson", import.meta.url);
const steady = ["distance", "departure_hour"];

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { write: { type: "boolean", default: false } } });
  const catalog = flightsCatalog({ version: 2 });
  await using servers = await startServers(resolveSettings({ catalog }).settings.searchPath);
  const client = new pg.Client({ connectionString: servers.databaseUrl });
  await client.connect();
  await client.query(readFileSync(new URL("../examples/flights/schema.sql", import.meta.url), "utf8"));
  await loadFlights(client);
  await client.query(`insert into flight_facts
    select id, departed_at::date, extract(hour from departed_at), origin, destination, delay, delay < 0,
      case when delay >= 60 then 'very_late' when delay >= 15 then 'late' when delay >= 0 then 'on_time' else 'early' end,
      distance, case when distance >= 1500 then 'long' when distance >= 500 then 'medium' else 'short' end
    from flight`);
  await client.query("vacuum (analyze) flight_facts");
  const days = await client.query<{ day: number }>(
    "select distinct flight_date - date '1970-01-01' as day from flight_facts where flight_date < '2001-07-01' order by 1",
  );
  const partitions = days.rows.map(({ day }) => day);
  const database = openDatabase(servers.databaseUrl, { max: 1 });
  const owned = ownedOf(flightFacts, await liveColumns(database, flightFacts));
  // As if they could be null, so that nulls can be planted; it is counted either way.
  const columns = measurable(flightFacts, owned).map((column) => ({ ...column, notNull: false }));
  if (!isProfiled(flightFacts)) throw new Error("flight_facts is cut by day");
  const profiled = { derived: flightFacts, relation: "public.flight_facts", columns };
  const none = async (): Promise<void> => {};
  const timings = await interleave(
    [
      {
        name: "count(*) alone",
        prepare: none,
        run: async () => void (await client.query("select count(*) from flight_facts")),
      },
      {
        name: "metrics of 8 columns, 181 days",
        prepare: none,
        run: async () => void (await profile(database, profiled, partitions)),
      },
    ],
    3,
    servers.pids,
  );
  for (const { name, medianMs, medianCpuMs } of timings) {
    print(`${name}: ${Math.round(medianMs)} ms, ${Math.round(medianCpuMs)} ms of CPU`);
  }
  const metrics = await profile(database, profiled, partitions);
  for (const known of ["all other days", "earlier days"] as const) {
    const { planted, found, kinds, cleanDays, falseAlarms } = ratesOf(metrics, known, steady);
    print(
      `\ncompared with ${known}: ${found} of ${planted} found; ${falseAlarms} false alarms on ${cleanDays} clean days`,
    );
    for (const [kind, [told, of]] of Object.entries(kinds)) print(`  ${kind}: ${told} of ${of}`);
  }
  for (const column of Object.keys(metrics[0]?.sums ?? {})) {
    const share = (change: number) => `${Math.round(100 * toldOfSum(metrics, column, change))} %`;
    print(`sum of ${column}: +20 % told in ${share(0.2)}, -20 % in ${share(-0.2)}, x2 in ${share(1)} of the days`);
  }
  if (values.write) {
    writeFileSync(fixture, metrics.map((day) => `${JSON.stringify(day)}\n`).join(""));
  }
  await database.close();
  await client.end();
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
