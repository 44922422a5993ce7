import { describe, expect, it } from "vitest";
import { diff } from "../../src/promotion/diff.ts";
import { totals, totalsDefinition, withStage } from "./stage.ts";

describe("diff", () => {
  it("counts and shows what a promotion would do, by column, as text, and writes nothing", () =>
    withStage(async (stage) => {
      await stage.run(totalsDefinition);
      await stage.run(`insert into totals (name, bucket, amount, ratio, code) values
        ('a', 1, 1.0, 0, 'A'), ('b', 2, 2, 0, 'B'), ('c', 11, 9007199254740993.10, 1, 'C'), ('m', 12, 1, 1, 'M'), ('z', 95, 9, 1, 'Z')`);
      const act = await stage.stage("bf_1", [
        {
          derived: totals,
          partitions: [0, 1, 2],
          candidate: `values ('a',1,1.00,'-0'::float8,'A'), ('b',2,2,0,'B'), ('d',3,4,1,null), ('m',25,1,1,'M'), ('e',26,9007199254740993.1,1,'E')`,
        },
      ]);
      const before = await stage.hashOf("totals");
      const whole = await diff(stage.database, { backfill: "bf_1", datasets: act.datasets });
      expect(whole.datasets).toMatchObject([
        {
          dataset: "totals",
          added: 2,
          removed: 1,
          changed: 2,
          unchanged: 1,
          columns: { amount: 1, ratio: 1, bucket: 1 },
        },
      ]);
      const row = { name: "a", bucket: "1", amount: "1.0", ratio: "0", code: "A" };
      expect(whole.datasets[0]?.samples).toContainEqual({
        kind: "changed",
        before: row,
        after: { ...row, amount: "1.00", ratio: "-0" },
      });
      expect(whole.datasets[0]?.samples).toContainEqual({
        ...{ kind: "added", before: null },
        after: { name: "e", bucket: "26", amount: "9007199254740993.1", ratio: "1", code: "E" },
      });
      expect(whole.datasets[0]?.samples).toContainEqual({
        ...{ kind: "removed", after: null },
        before: { name: "c", bucket: "11", amount: "9007199254740993.10", ratio: "1", code: "C" },
      });

      // Compared partition by partition, the last of them empty in the live table: the same counts.
      await stage.run("update rederive.stamp set rows_written = rows_written + 200000");
      const apart = await diff(stage.database, { backfill: "bf_1", datasets: act.datasets, samples: 1 });
      expect(apart.datasets).toMatchObject([
        { added: 2, removed: 1, changed: 2, columns: { amount: 1, ratio: 1, bucket: 1 } },
      ]);
      expect(apart.datasets[0]?.samples.map(({ kind }) => kind).sort()).toEqual(["added", "changed", "removed"]);
      expect(await stage.hashOf("totals")).toBe(before);
      expect(await act.state()).toBe("verified");
      const promoted = await act.promote();
      expect(promoted.datasets).toEqual([{ dataset: "totals", inserted: 2, updated: 2, deleted: 1 }]);
      expect((await diff(stage.database, { backfill: "bf_1", datasets: act.datasets })).datasets).toMatchObject([
        { added: 0, removed: 0, changed: 0, columns: {}, samples: [] },
      ]);
    }));

  it("looks at finished tasks alone while a backfill runs", () =>
    withStage(async (stage) => {
      await stage.run(totalsDefinition);
      await stage.run("insert into totals (name, bucket) values ('a', 1), ('c', 11)");
      const act = await stage.stage("bf_1", [
        { derived: totals, partitions: [0, 1], candidate: "values ('a', 1, 5::numeric, 0::float8, 'A')" },
      ]);
      await stage.run(
        "update rederive.task set state = 'running' where partition = 1; update rederive.backfill set state = 'running'",
      );
      const report = await diff(stage.database, { backfill: "bf_1", datasets: act.datasets });
      expect(report.datasets).toMatchObject([{ added: 0, removed: 0, changed: 1, unchanged: 0 }]);
    }));
});
