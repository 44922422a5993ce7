import { check, type Rederive } from "rederive";
import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { tendCandidates } from "../../src/executor/candidates.ts";
import type { Plan } from "../../src/plan.ts";
import type { Sample, SampledDataset } from "../../src/report.ts";
import type { Database } from "../../src/tx.ts";
import type { PlanInput } from "../../src/usecases/plan.ts";
import { createScratchSchema, holdScratchSchema, newScratchSchema } from "../../src/warehouse/scratch.ts";
import { openSession } from "../../src/warehouse/session.ts";
import { facts, type Shape, type Stage, shop, withShop } from "./shop.ts";

/** Dollars were a unit too low. */
const amount = "case when currency = 'USD' then amount + 1 else amount end";
const corrected = shop({ version: 2, amount });

async function preview(rederive: Rederive, sample?: PlanInput["sample"]): Promise<Plan> {
  return rederive.as(tester).preview({ reason: "taxes", ...(sample === undefined ? {} : { sample }) });
}

async function sampled(stage: Stage, catalog: Catalog, sample: PlanInput["sample"] = { share: 0.1 }): Promise<Sample> {
  const { forecast } = await preview(await stage.open(catalog), sample);
  return forecast.sample as Sample;
}

function of(sample: Sample, name: string): SampledDataset {
  return sample.datasets.find(({ dataset }) => dataset === name) as SampledDataset;
}

/** Every row of every table of the application and of the control schema, with the transaction that wrote it. */
async function everything(database: Database): Promise<Record<string, unknown>> {
  const tables = await database.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname in ('public', 'rederive') order by 1`,
  );
  const found: Record<string, unknown> = {};
  for (const { name } of tables) {
    found[name] = await database.query(
      `select count(*)::int as rows, md5(string_agg(t::text || ' ' || t.xmin || ' ' || t.xmax, '|' order by t.ctid)) as hash from ${name} t`,
    );
  }
  return found;
}

async function scratchSchemas(database: Database): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    "select nspname::text as name from pg_namespace where nspname like 'rederive_sample%'",
  );
  return rows.map(({ name }) => name);
}

describe("a sampled replay", { timeout: 120_000 }, () => {
  it("leaves every row of live and control tables as it is, and nothing of its own", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const rederive = await stage.open(corrected);
      const before = await everything(stage.database);
      const { forecast } = await preview(rederive, { share: 0.2 });
      expect(forecast.sample?.tasks).toBeGreaterThan(20);
      expect(await everything(stage.database)).toEqual(before);
      expect(Object.keys(before)).toContain("public.facts");
      expect(await scratchSchemas(stage.database)).toEqual([]);
    }));

  it("is part of the forecast alone: the plan has the same hash, and the same plan the same sample", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const rederive = await stage.open(corrected);
      const without = await preview(rederive);
      const first = await preview(rederive, { share: 0.1 });
      const second = await preview(rederive, { share: 0.1 });
      expect([first.hash, second.hash]).toEqual([without.hash, without.hash]);
      const partitions = ({ forecast }: Plan) => forecast.sample?.datasets.map((each) => each.partitions);
      expect(partitions(first)).toEqual(partitions(second));
      // Stored, it is there for those who review.
      const backfill = await rederive.as(tester).plan({ reason: "taxes", sample: { share: 0.1 } });
      const stored = await rederive.as(tester).backfill(backfill.id);
      expect(partitions(stored.plan)).toEqual(partitions(first));
      expect(stored.plan.hash).toBe(without.hash);
    }));

  it("predicts what the backfill then finds, and shows rows before and after", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const rederive = await stage.open(corrected);
      const backfill = await rederive.as(tester).plan({ reason: "taxes", sample: { share: 0.1 } });
      const sample = backfill.plan.forecast.sample as Sample;
      expect((await runToEnd(rederive, backfill)).state).toBe("verified");
      const { datasets } = await backfill.diff();
      for (const diff of datasets) {
        const { estimates, reads } = of(sample, diff.dataset);
        for (const kind of ["added", "removed", "changed"] as const) {
          expect(estimates?.[kind].low).toBeLessThanOrEqual(diff[kind]);
          expect(estimates?.[kind].high).toBeGreaterThanOrEqual(diff[kind]);
        }
        expect(estimates?.changed.expected).toBe(diff.changed);
        expect(reads.live).toBe(0);
        expect(estimates?.seconds.low).toBeGreaterThan(0);
      }
      const found = of(sample, "facts");
      expect(found).toMatchObject({ of: 60, columns: { amount: (8 * found.partitions.flat().length) / 2 } });
      const [row] = found.samples;
      expect(row?.kind).toBe("changed");
      expect(Number(row?.after?.["amount"])).toBe(Number(row?.before?.["amount"]) + 1);
      // Nothing like it had run before under this definition; the duration comes from the sample.
      expect(backfill.plan.forecast.interval?.high).toBeGreaterThan(0);
    }));

  it("reads what is not in the sample as it is live, and says so", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const sample = await sampled(stage, corrected, {
        partitions: { facts: ["2026-01-05"], revenue: ["2026-01-05..2026-01-08", "2026-02-01"] },
      });
      expect(sample.tasks).toBe(5);
      // One of four days reads corrected facts.
      expect(of(sample, "revenue")).toMatchObject({ changed: 1, reads: { sampled: 1, live: 3 } });
    }));

  it("shows failed checks and partitions that cannot be computed, and goes on", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const broken: Shape = {
        version: 2,
        amount: "case when id = 100 then 1 / (id - 100) when id = 120 then null else amount end",
      };
      const strict = { checks: [check.notNull(facts.amount)] };
      const sample = await sampled(stage, shop({ ...broken, facts: strict }), {
        partitions: { facts: ["2026-01-05..2026-01-08"] },
      });
      expect(of(sample, "facts")).toMatchObject({
        of: 60,
        failures: [{ partition: "2026-01-06", code: "22012", message: expect.stringContaining("division by zero") }],
        failedChecks: [{ partition: "2026-01-07", severity: "error", evidence: { rows: [{ id: "120" }], sql: null } }],
      });
      expect(await scratchSchemas(stage.database)).toEqual([]);
    }));

  it("shows no value of a masked column", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop({ facts: { mask: [facts.amount] } }));
      const sample = await sampled(stage, shop({ version: 2, amount, facts: { mask: [facts.amount] } }));
      const [row] = of(sample, "facts").samples;
      expect([row?.before?.["amount"], row?.after?.["amount"]]).toEqual(["(masked)", "(masked)"]);
      expect(of(sample, "facts").columns["amount"]).toBeGreaterThan(0);
    }));

  it("refuses what makes no sense, before it computes anything", () =>
    withShop(async (stage) => {
      const rederive = await stage.open(shop());
      const refused: readonly [PlanInput["sample"], string][] = [
        [{ share: 0 }, "above 0"],
        [{ share: 1.5 }, "above 0, up to 1"],
        [{}, "one of the two"],
        [{ share: 0.1, partitions: { facts: ["2026-01-05"] } }, "one of the two"],
        [{ partitions: { fact: ["2026-01-05"] } }, "does not recompute fact; it computes facts, revenue"],
        [{ partitions: { facts: ["2027-01-05"] } }, "none of the partitions of facts"],
        [{ partitions: { facts: ["2026-01-08..2026-01-05"] } }, "is empty"],
      ];
      for (const [sample, message] of refused) await expect(preview(rederive, sample)).rejects.toThrow(message);
    }));

  it("ends early when it is told to, and leaves nothing", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const stop = new AbortController();
      const slow = await stage.open(
        shop({ version: 2, amount: "amount + (select count(*) from generate_series(1, 4000000)) * 0" }),
      );
      const trying = preview(slow, { share: 1, signal: stop.signal });
      const ended = expect(trying).rejects.toThrow("enough");
      stop.abort(new Error("enough"));
      await ended;
      expect(await scratchSchemas(stage.database)).toEqual([]);
    }));

  it("of a process that was killed is dropped by the planner and by the next sample, and one at work is not", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const abandon = async (): Promise<string> => {
        const schema = newScratchSchema();
        const session = await openSession(stage.url, { applicationName: "dies" });
        await holdScratchSchema(session, schema);
        await stage.database.transaction(async (tx) => {
          await createScratchSchema(tx, schema);
          await tx.query(`create table ${schema}.t (i int)`);
        });
        await session.end();
        return schema;
      };
      const atWork = newScratchSchema();
      const holder = await openSession(stage.url, { applicationName: "works" });
      await holdScratchSchema(holder, atWork);
      await stage.database.transaction((tx) => createScratchSchema(tx, atWork));
      await stage.database.query("create schema rederive_sample_of_a_user");
      await abandon();
      await tendCandidates(stage.database);
      const left = [atWork, "rederive_sample_of_a_user"].sort();
      expect((await scratchSchemas(stage.database)).sort()).toEqual(left);
      await abandon();
      await sampled(stage, corrected);
      expect((await scratchSchemas(stage.database)).sort()).toEqual(left);
      await holder.end();
    }));
});
