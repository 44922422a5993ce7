import { describe, expect, it } from "vitest";
import { settle } from "../../src/executor/settle.ts";
import { readyConsumers } from "../../src/store/edges.ts";
import { takeLead } from "../../src/store/leaders.ts";
import { insertPhases } from "../../src/store/phases.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { runningBackfills } from "../../src/store/release.ts";
import { isStuck, progressOf } from "../../src/store/settle.ts";
import type { Database, Tx } from "../../src/tx.ts";
import { diamonds, independent, seedBackfill } from "../support/delivery.ts";
import { withDatabase } from "../support/postgres.ts";

const leadership = { name: "planner", holder: "test" };

/** Settles a backfill of one diamond whose top is done and whose other tasks wait; `meanwhile` runs during the look. */
async function settling(
  meanwhile: (database: Database, top: string) => Promise<void>,
): Promise<{ standing: string; state: string }> {
  return withDatabase(async (url) => {
    const database = openDatabase(url, { max: 4 });
    try {
      const id = await seedBackfill(database, diamonds(1));
      const [top] = await database.query<{ id: string }>(
        "update rederive.task set state = 'done', finished_at = now() where dataset = 'top' returning id::text as id",
      );
      await database.query("update rederive.edge set done = true where producer = $1::int8", [top?.id]);
      const term = { ...leadership, term: (await takeLead(database, { ...leadership, leaseMs: 60_000 })) ?? "" };
      const [backfill] = await runningBackfills(database);
      let looked = false;
      const watched: Database = {
        ...database,
        // After the first look, which saw nothing that moves.
        query: async (text, params) => {
          const rows = await database.query<never>(text, params);
          if (!looked) await meanwhile(database, top?.id ?? "");
          looked = true;
          return rows;
        },
      };
      if (backfill === undefined) throw new Error("the backfill is not running");
      const standing = await settle(watched, term, backfill, []);
      const [row] = await database.query<{ state: string }>("select state from rederive.backfill where id = $1::text", [
        id,
      ]);
      return { standing, state: row?.state ?? "" };
    } finally {
      await database.close();
    }
  });
}

describe("the end of a backfill", () => {
  it("is not seen where a worker makes the next tasks ready during the look", async () => {
    const seen = await settling(async (database, top) => void (await readyConsumers(database, [top], 0)));
    expect(seen).toEqual({ standing: "going", state: "running" });
  });

  it("is not seen where the worker died before it could", async () => {
    expect(await settling(async () => {})).toEqual({ standing: "going", state: "running" });
  });

  it("is not a hold where the last tasks end during the look", async () => {
    const seen = await settling(async (database) => {
      await database.query("update rederive.edge set done = true");
      await database.query("update rederive.task set state = 'done', finished_at = now()");
    });
    expect(seen).toEqual({ standing: "going", state: "running" });
  });

  it("is a hold where the rest waits for a partition that failed meanwhile", async () => {
    const seen = await settling(async (database) => {
      await database.query("update rederive.task set state = 'failed' where dataset in ('left', 'right')");
    });
    expect(seen).toEqual({ standing: "held", state: "held" });
  });
});

/** Pages that the statement of `ask` reads, and what it answers. */
async function pagesOf<Answer>(database: Database, ask: (tx: Tx) => Promise<Answer>): Promise<number> {
  let pages = 0;
  await ask({
    query: async (text, params) => {
      const [row] = await database.query<{ "QUERY PLAN": readonly [{ Plan: Record<string, number> }] }>(
        `explain (analyze, buffers, format json) ${text}`,
        params,
      );
      const plan = row?.["QUERY PLAN"][0].Plan ?? {};
      pages += (plan["Shared Hit Blocks"] ?? 0) + (plan["Shared Read Blocks"] ?? 0);
      return [];
    },
  });
  return pages;
}

describe("a look at a gate", () => {
  it.each(["prunable", "not prunable"])("reads next to nothing of what waits behind it and is %s", async (which) => {
    await withDatabase(async (url) => {
      const database = openDatabase(url, { max: 1 });
      try {
        const id = await seedBackfill(database, independent(1));
        await database.query("update rederive.task set state = 'done'");
        await database.query(
          `insert into rederive.task (backfill, dataset, partition, rank, state, prunable)
           select $1::text, 'plain', n, n, 'waiting', $2::bool from generate_series(1, 20000) n`,
          [id, which === "prunable"],
        );
        await database.query("analyze rederive.task");
        await insertPhases(database, id, [
          { name: "pilot", gate: "automatic", firstRank: 0, tasks: 1 },
          { name: "rest", gate: "automatic", firstRank: 1, tasks: 20_000 },
        ]);
        expect(await progressOf(database, id, [])).toEqual({ open: true, moving: false, atGate: true });
        expect(await pagesOf(database, (tx) => progressOf(tx, id, []))).toBeLessThan(80);
        expect(await pagesOf(database, (tx) => isStuck(tx, id, []))).toBeLessThan(80);
      } finally {
        await database.close();
      }
    });
  });
});
