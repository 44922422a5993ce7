/** Partitions that the stamps prove equal are not read; anything that weakens the proof has them read. */
import { describe, expect, it } from "vitest";
import { diff } from "../../src/promotion/diff.ts";
import type { Database } from "../../src/tx.ts";
import { type Act, type Stage, totals, totalsDefinition, withStage } from "./stage.ts";

const same = "values ('a', 1, 1.0, 0::float8, 'A'), ('b', 11, 2, 0, 'B'), ('c', 21, 3, 0, 'C')";

/** Promoted once, then computed again: partitions 0 and 1 with the hashes that are live, 2 with another. */
async function twice(stage: Stage, candidate = same): Promise<Act> {
  await stage.run(totalsDefinition);
  const first = await stage.stage("bf_1", [{ derived: totals, partitions: [0, 1, 2], candidate: same }]);
  await stage.run("update rederive.stamp set output_hash = 10 + partition");
  await first.promote();
  const second = await stage.stage("bf_2", [{ derived: totals, partitions: [0, 1, 2], candidate }]);
  await stage.run(`update rederive.stamp set output_hash = case when partition = 2 then 99 else 10 + partition end
    where backfill = 'bf_2'`);
  return second;
}

/** Compares, and tells which partitions (by the buckets in the statements) were read. */
async function compare(stage: Stage, act: Act) {
  const statements: string[] = [];
  const spied: Database = {
    ...stage.database,
    transaction: (work, options) =>
      stage.database.transaction(
        (tx) =>
          work({
            query: (text, params) => {
              statements.push(text);
              return tx.query(text, params);
            },
          }),
        options,
      ),
  };
  const { datasets } = await diff(spied, { backfill: act.backfill, datasets: act.datasets });
  const joins = statements.filter((text) => text.includes("full join")).join("\n");
  const read = [0, 1, 2].filter((partition) => {
    const bounds = [...joins.matchAll(/>= '(\d+)' and [^<]*< '(\d+)'/g)].map(([, from, to]) => [
      Number(from),
      Number(to),
    ]);
    return bounds.some(([from, to]) => partition * 10 >= (from as number) && partition * 10 < (to as number));
  });
  return { counts: datasets[0], read };
}

/** Sessions tell their writes when they end, so each of these writes has a session of its own. */
async function asSomebodyElse(stage: Stage, statement: string): Promise<void> {
  const client = await stage.connect();
  await client.query(statement);
  await client.end();
}

describe("partitions that the stamps prove equal", () => {
  it("are counted and not read", () =>
    withStage(async (stage) => {
      const act = await twice(stage, same.replace("3, 0, 'C'", "4, 0, 'C'"));
      expect(await compare(stage, act)).toMatchObject({
        counts: { added: 0, removed: 0, changed: 1, unchanged: 2 },
        read: [2],
      });
    }));

  it.each([
    [
      "a row was changed",
      "update totals set amount = 7 where name = 'a'",
      { added: 0, removed: 0, changed: 1, unchanged: 2 },
    ],
    ["a row was deleted", "delete from totals where name = 'b'", { added: 1, removed: 0, changed: 0, unchanged: 2 }],
    [
      "a row came",
      "insert into totals (name, bucket) values ('x', 5)",
      { added: 0, removed: 1, changed: 0, unchanged: 3 },
    ],
    ["the table was emptied", "truncate totals", { added: 3, removed: 0, changed: 0, unchanged: 0 }],
    ["the table was rewritten", "vacuum full totals", { added: 0, removed: 0, changed: 0, unchanged: 3 }],
  ])("are read where %s by somebody else", (_what, statement, counts) =>
    withStage(async (stage) => {
      const act = await twice(stage);
      await asSomebodyElse(stage, statement);
      const seen = await compare(stage, act);
      expect(seen.counts).toMatchObject(counts);
      // An empty live table is never joined; what counts is that it was looked at.
      if (statement !== "truncate totals") expect(seen.read).toEqual([0, 1, 2]);
    }),
  );

  it("are read where a later promotion found another's writes, however little it touched itself", () =>
    withStage(async (stage) => {
      const act = await twice(stage);
      await asSomebodyElse(stage, "update totals set amount = 7 where name = 'a'");
      const between = await stage.stage("bf_3", [
        { derived: totals, partitions: [2], candidate: "values ('c', 21, 5, 0::float8, 'C')" },
      ]);
      await between.promote();
      expect((await compare(stage, act)).counts).toMatchObject({ changed: 2, unchanged: 1 });
      await between.rollback();
      expect((await compare(stage, act)).counts).toMatchObject({ changed: 1, unchanged: 2 });
    }));

  it("stay proven over promotions and rollbacks of our own", () =>
    withStage(async (stage) => {
      const act = await twice(stage);
      const between = await stage.stage("bf_3", [
        { derived: totals, partitions: [2], candidate: "values ('c', 21, 5, 0::float8, 'C')" },
      ]);
      await between.promote();
      expect(await compare(stage, act)).toMatchObject({ counts: { changed: 1, unchanged: 2 }, read: [2] });
      await between.rollback();
      expect(await compare(stage, act)).toMatchObject({ counts: { changed: 0, unchanged: 3 }, read: [2] });
    }));

  it("are read where rows or the hash's algorithm differ", () =>
    withStage(async (stage) => {
      const act = await twice(stage);
      await stage.run("update rederive.stamp set hash_algorithm = 'b' where backfill = 'bf_2' and partition = 0");
      await stage.run("update rederive.stamp set rows_written = 2 where backfill = 'bf_2' and partition = 1");
      expect((await compare(stage, act)).read).toEqual([0, 1, 2]);
    }));
});
