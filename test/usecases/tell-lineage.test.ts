/** What telling of a backfill takes from those who carry it out. */
import { expect, it } from "vitest";
import type { Term } from "../../src/executor/settle.ts";
import { takeLead } from "../../src/store/leaders.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Tx } from "../../src/tx.ts";
import { LineageTeller } from "../../src/usecases/tell-lineage.ts";
import { catalogOf } from "../executor/fixture.ts";
import { independent, seedBackfill } from "../support/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { withDatabase } from "../support/postgres.ts";

const place = { jobs: "jobs", tables: "tables", database: "d", engine: "e", version: "v" };

it("counts tasks only where an event may be due, and without keeping the leader from its lease", () =>
  withDatabase(async (url) => {
    const database = openDatabase(url);
    try {
      await seedBackfill(database, independent(3));
      const leadership = { name: "teller", holder: "test" };
      const renew = (tx: Tx) => takeLead(tx, { ...leadership, leaseMs: 600_000 });
      const term: Term = { ...leadership, term: (await renew(database)) ?? "" };
      const teller = new LineageTeller({ database, catalog: catalogOf(), place, sql: false });
      let told: Promise<number> | undefined;
      // Whoever counts has to wait for this table.
      const withoutCounts = (work: () => Promise<void>) =>
        database.transaction(async (tx) => {
          await tx.query("lock table rederive.stamp in access exclusive mode");
          await work();
        });
      await withoutCounts(async () => {
        told = teller.tell(term);
        await eventually(
          () =>
            database.query(
              "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            ),
          (waiting) => waiting.length === 1,
          { what: "somebody counts" },
        );
        await database.transaction(async (tx) => {
          await tx.query("set local lock_timeout = '2s'");
          expect(await renew(tx)).toBe(term.term);
        });
      });
      expect(await told).toBe(1);
      await withoutCounts(async () => expect(await teller.tell(term)).toBe(0));
    } finally {
      await database.close();
    }
  }));
