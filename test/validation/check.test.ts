/** Checks asked again, of candidates and of what is live. */
import type { Backfill } from "rederive";
import { runToEnd, tester } from "rederive/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goods } from "./goods.ts";
import { createTemplate, type Stage, withStage } from "./stage.ts";

const day = "2026-10-25";

async function verified(stage: Stage): Promise<Backfill> {
  const rederive = await stage.open(goods());
  const backfill = await rederive.as(tester).plan({ datasets: ["facts"], partitions: [day], reason: "again" });
  expect(await runToEnd(rederive, backfill)).toMatchObject({ state: "verified" });
  return backfill;
}

describe("checking again", { timeout: 120_000 }, () => {
  let template: Awaited<ReturnType<typeof createTemplate>>;
  beforeAll(async () => {
    template = await createTemplate();
  }, 120_000);
  afterAll(() => template?.drop());

  it("asks a changed rule of the candidates, and holds what breaks it until somebody decides", async () => {
    await withStage(template.name, async (stage) => {
      const { id } = await verified(stage);
      const strict = await stage.open(goods({}, { maxPoints: 112 }));
      const backfill = await strict.as(tester).backfill(id);
      const report = await backfill.check({ stale: true });
      expect(report).toMatchObject({ backfill: id, scope: "candidates", failed: true });
      expect(
        report.datasets.map(({ dataset, checked, upToDate, failing }) => [dataset, checked, upToDate, failing]),
      ).toEqual([
        ["facts", 1, 0, 1],
        // The facts came out as they were, so what reads them was not computed.
        ["revenue", 0, 0, 0],
        ["euros", 0, 0, 0],
        ["months", 0, 0, 0],
      ]);
      expect(report.datasets[0]?.failures).toMatchObject([
        { dataset: "facts", partition: day, name: "range(points)", severity: "error", failures: 3 },
      ]);
      expect(report.datasets[0]?.failures[0]?.evidence.rows[0]).toMatchObject({ id: "13", email: "(masked)" });
      const held = await backfill.status();
      expect(held).toMatchObject({ state: "held", stateReason: expect.stringContaining("range(points)") });
      expect(held.failedChecks).toHaveLength(1);
      await expect(backfill.promote({ reason: "anyway" })).rejects.toMatchObject({
        code: expect.stringMatching(/held|wrong_state/),
      });
      await backfill.resume({ reason: "so many points are right" });
      expect(await runToEnd(strict, backfill)).toMatchObject({ state: "verified" });
      expect(await backfill.promote({ reason: "accepted" })).toMatchObject({ state: "promoted" });
    });
  });

  it("asks nothing where the rules are known to hold, and everything without --stale", async () => {
    await withStage(template.name, async (stage) => {
      const backfill = await verified(stage);
      const counts = async (stale: boolean) =>
        (await backfill.check({ stale })).datasets.map(({ checked, upToDate, failing }) => [
          checked,
          upToDate,
          failing,
        ]);
      const unchanged = [0, 0, 0];
      expect(await counts(true)).toEqual([[0, 1, 0], unchanged, unchanged, unchanged]);
      expect(await counts(false)).toEqual([[1, 0, 0], unchanged, unchanged, unchanged]);
      expect(await backfill.status()).toMatchObject({ state: "verified", failedChecks: [] });
    });
  });

  it("looks at live tables that others wrote to, partition by partition and as a whole", async () => {
    await withStage(template.name, async (stage) => {
      const rederive = await stage.open(goods());
      const acting = rederive.as(tester);
      const clean = await acting.check();
      expect(clean).toMatchObject({ backfill: null, scope: "live", failed: false });
      expect(clean.datasets.map(({ dataset, checked, failing }) => [dataset, checked, failing])).toEqual([
        ["facts", 4, 0],
        ["revenue", 4, 0],
        ["euros", 4, 0],
        ["months", 1, 0],
        ["hours", 3, 0],
        ["days", 3, 0],
      ]);
      await stage.database.query("update public.facts set currency = 'EURO', invoice = 'INV-24' where id = 8");
      const report = await acting.check({ datasets: ["facts"] });
      expect(report.failed).toBe(true);
      expect(report.datasets[0]?.failures.map(({ name, partition }) => [name, partition])).toEqual([
        ["currency(currency)", day],
        ["unique(invoice)_in_dataset", null],
      ]);
      expect(report.datasets[0]?.failures[0]?.evidence).toMatchObject({
        rows: [{ id: "8", currency: "EURO" }],
        suspects: expect.arrayContaining([{ input: "orders", dataset: "orders", partitions: day, from: "live" }]),
      });
      const one = await acting.check({ datasets: ["facts"], partitions: ["2026-10-26"] });
      expect(one).toMatchObject({ failed: false, datasets: [{ checked: 1, failures: [] }] });
      // What failed is asked again, so that mending is seen.
      await stage.database.query("update public.facts set currency = 'EUR', invoice = 'INV-8' where id = 8");
      expect(await acting.check({ datasets: ["facts"], stale: true })).toMatchObject({
        failed: false,
        datasets: [{ checked: 1, upToDate: 3 }],
      });
    });
  });

  it("asks changed rules of what is live; the next plan knows that", async () => {
    await withStage(template.name, async (stage) => {
      const strict = await stage.open(goods({}, { maxPoints: 1_000 }));
      const acting = strict.as(tester);
      const validation = async () => (await acting.preview({ changes: true, reason: "look" })).decision.validation;
      expect((await validation()).map(({ dataset, checks }) => [dataset, checks])).toEqual([
        ["facts", ["range(points)"]],
      ]);
      const report = await acting.check({ stale: true });
      expect(report.datasets.map(({ dataset, checked }) => [dataset, checked])).toContainEqual(["facts", 4]);
      expect(report.datasets.reduce((sum, { checked }) => sum + checked, 0)).toBe(4);
      expect(report.failed).toBe(false);
      expect(await validation()).toEqual([]);
      expect((await acting.check({ stale: true })).datasets.every(({ checked }) => checked === 0)).toBe(true);
    });
  });

  it("shows no value of a masked column in the samples of a comparison either", async () => {
    await withStage(template.name, async (stage) => {
      await stage.database.query("update public.facts set email = 'changed@example.org' where id = 9");
      await stage.database.query("update public.facts set email = null where id = 10");
      const diff = await (await verified(stage)).diff();
      const facts = diff.datasets.find(({ dataset }) => dataset === "facts");
      expect(facts).toMatchObject({ changed: 2, columns: { email: 2 } });
      const shown = facts?.samples.map(({ before, after }) => [before?.["id"], before?.["email"], after?.["email"]]);
      expect(shown).toEqual([
        ["9", "(masked)", "(masked)"],
        ["10", null, "(masked)"],
      ]);
      expect(JSON.stringify(diff)).not.toContain("example.org");
    });
  });

  it("says what it cannot look at", async () => {
    await withStage(template.name, async (stage) => {
      const rederive = await stage.open(goods());
      const acting = rederive.as(tester);
      await expect(acting.check({ datasets: ["fact"] })).rejects.toMatchObject({ code: "not_found" });
      await expect(acting.check({ datasets: ["orders"] })).rejects.toMatchObject({ code: "not_found" });
      await expect(acting.check({ partitions: [day] })).rejects.toMatchObject({ code: "usage" });
      await expect(rederive.as({ name: "eve", role: "viewer" }).check()).rejects.toMatchObject({ code: "forbidden" });
      const planned = await acting.plan({ datasets: ["facts"], partitions: [day], reason: "later" });
      await expect(planned.check()).rejects.toMatchObject({ code: "wrong_state" });
      await runToEnd(rederive, planned);
      const other = await stage.open(goods({ euros: "select day, 1 as amount from facts group by 1" }));
      await expect((await other.as(tester).backfill(planned.id)).check()).rejects.toMatchObject({ code: "code_drift" });
      await expect(planned.check({ datasets: ["hours"] })).rejects.toMatchObject({ code: "not_found" });
    });
  });
});
