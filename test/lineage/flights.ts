/** The flights example over thirty days of made-up departures, a few thousand of them, on a database of its own. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { type Config, createRederive, type Rederive } from "rederive";
import { runToEnd, tester, withTestDatabase } from "rederive/testing";
import { inject } from "vitest";
import { flightsCatalog } from "../../examples/flights/catalog.ts";
import type { Backfill } from "../../src/backfill.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";

const example = (file: string) => fileURLToPath(new URL(`../../examples/flights/${file}`, import.meta.url));

/** Every hour some flights between nine airports; delays and distances repeat in odd rhythms. */
const rows = `insert into flight (id, departed_at, delay, distance, origin, destination)
  select n, timestamp '2001-01-03 00:30' + (n % 720) * interval '1 hour', n * 7919 % 211 - 40, 60 + n * 104729 % 2600, f.code, t.code
  from generate_series(1, 3600) n
  join unnest(array['ATL','BOS','DEN','DFW','JFK','LAX','ORD','SEA','SFO']) with ordinality f (code, i) on f.i = n * 31 % 9 + 1
  join unnest(array['ATL','BOS','DEN','DFW','JFK','LAX','ORD','SEA','SFO']) with ordinality t (code, i)
    on t.i = (n * 31 + 1 + n * 17 % 8) % 9 + 1`;

async function fill(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(await readFile(example("schema.sql"), "utf8"));
  await client.query(rows);
  await client.end();
}

export interface FlightsStage {
  readonly url: string;
  readonly database: Database;
  readonly rederive: Rederive;
  /** Plans, runs and (unless it is to be looked at before) promotes. */
  run(options?: {
    readonly promote?: boolean;
    readonly datasets?: string[];
    readonly partitions?: string[];
  }): Promise<Backfill>;
  /** Another instance over the same database, for as long as the stage stands. */
  open(version: 1 | 2, more: Partial<Config>): Promise<Rederive>;
}

export async function withFlights(callback: (stage: FlightsStage) => Promise<void>, version: 1 | 2 = 2): Promise<void> {
  await withTestDatabase(inject("databaseUrl"), async (url) => {
    const database = openDatabase(url, { max: 3 });
    const opened: Rederive[] = [];
    const open: FlightsStage["open"] = async (of, more) => {
      const rederive = await createRederive({
        ...{ catalog: flightsCatalog({ version: of }), databaseUrl: url, environment: "test" },
        lockFile: example("rederive.lock.json"),
        ...more,
      });
      opened.push(rederive);
      return rederive;
    };
    try {
      await fill(url);
      const rederive = await open(version, {});
      await callback({
        ...{ url, database, rederive, open },
        run: async ({ promote = true, ...wish } = {}) => {
          const backfill = await rederive.as(tester).plan({ ...wish, reason: "early flights hid the late ones" });
          const status = await runToEnd(rederive, backfill, { workers: 4 });
          if (status.state !== "verified") throw new Error(JSON.stringify(status));
          if (promote) await backfill.promote({ reason: "checked with punctuality" });
          return backfill;
        },
      });
    } finally {
      for (const rederive of opened.reverse()) await rederive.close();
      await database.close();
    }
  });
}
