import { describe, expect, it } from "vitest";
import { type Act, killSleeper, type Stage, totals, totalsDefinition, withStage } from "./stage.ts";

const live = `insert into totals (name, bucket, amount, ratio, code, note) values
  ('a', 1, 1.0, 0, 'A', 'kept'), ('b', 2, 2, '-0', 'B', 'kept'), ('c', 11, 3, 1, 'C', 'kept'), ('z', 95, 9, 1, 'Z', 'outside')`;

/** One row updated, one deleted, one inserted among others, one inserted into a range that was empty. */
const candidate = "values ('a',1,1.5,0::float8,'A'), ('b',2,2,'-0','B'), ('d',3,4,1,'D'), ('e',21,5,1,'E')";

async function promoted(stage: Stage, options: { apart?: boolean } = {}): Promise<{ act: Act; before: string }> {
  await stage.run(totalsDefinition);
  await stage.run(live);
  const act = await stage.stage("bf_1", [{ derived: totals, partitions: [0, 1, 2], candidate }]);
  // Claimed to be large, so that each partition is compared on its own.
  if (options.apart) await stage.run("update rederive.stamp set rows_written = 200000");
  const before = await stage.hashOf("totals");
  await act.promote();
  return { act, before };
}

describe("rollback", () => {
  it("brings back every byte, touches no sequence, and lets the candidates be promoted again", () =>
    withStage(async (stage) => {
      const { act, before } = await promoted(stage, { apart: true });
      expect(await stage.value("select was_empty::text from rederive.restore_point")).toBe("{[2,3)}");
      const after = await stage.hashOf("(select name, bucket, amount, ratio, code, note from totals)");
      const sequence = await stage.value("select last_value::int from totals_id_seq");
      const report = await act.rollback();
      expect(report).toEqual({
        ...{ backfill: "bf_1", state: "rolled_back" },
        datasets: [{ dataset: "totals", inserted: 1, updated: 1, deleted: 2 }],
      });
      expect(await stage.hashOf("totals")).toBe(before);
      expect(await stage.value("select last_value::int from totals_id_seq")).toBe(sequence);
      expect(await stage.value("select count(*)::int from rederive.live")).toBe(0);
      expect(await stage.value("select count(*)::int from rederive.restore_point")).toBe(0);
      await act.promote();
      expect(await stage.hashOf("(select name, bucket, amount, ratio, code, note from totals)")).toBe(after);
      await act.rollback();
      expect(await stage.hashOf("totals")).toBe(before);
    }));

  it("a second one is refused and changes nothing", () =>
    withStage(async (stage) => {
      const { act, before } = await promoted(stage);
      await act.rollback();
      await expect(act.rollback()).rejects.toMatchObject({ code: "wrong_state" });
      expect(await stage.hashOf("totals")).toBe(before);
    }));

  it("leaves the promotion in place when its session is killed, and can be tried again", () =>
    withStage(async (stage) => {
      const { act, before } = await promoted(stage);
      const after = await stage.hashOf("totals");
      const killer = await stage.connect();
      // Expected at once: it may fail before the killing is reported.
      const killed = expect(
        act.rollback({
          audit: async (tx) => void (await tx.query("select pg_sleep(60)")),
        }),
      ).rejects.toThrow();
      await killSleeper(killer);
      await killed;
      expect(await stage.hashOf("totals")).toBe(after);
      await act.rollback();
      expect(await stage.hashOf("totals")).toBe(before);
    }));

  it("is refused while a later promotion is on top, and an older plan is not promoted over a newer one", () =>
    withStage(async (stage) => {
      const { act, before } = await promoted(stage);
      const later = await stage.stage("bf_2", [
        { derived: totals, partitions: [0], candidate: "values ('a',1,9,0::float8,'A')" },
      ]);
      await later.promote();
      await expect(act.rollback({ onLaterWrites: "overwrite" })).rejects.toThrow(
        /bf_2 was promoted over partitions of backfill bf_1 since/,
      );
      await later.rollback();
      await act.rollback();
      expect(await stage.hashOf("totals")).toBe(before);
      await later.promote();
      await expect(act.promote()).rejects.toMatchObject({ code: "plan_stale", details: { newer: ["bf_2"] } });
    }));

  it("says so when the before-images are gone", () =>
    withStage(async (stage) => {
      const { act } = await promoted(stage);
      await stage.run(`drop table ${act.datasets[0]?.restorePoint}`);
      await expect(act.rollback()).rejects.toMatchObject({ code: "restore_point_gone" });
    }));

  it("keeps an edit to a column that the transform does not own", () =>
    withStage(async (stage) => {
      const { act } = await promoted(stage);
      await stage.run("update totals set note = 'edited' where name = 'a'");
      await act.rollback();
      expect(await stage.rows("select amount, note from totals where name = 'a'")).toEqual([
        { amount: "1.0", note: "edited" },
      ]);
    }));

  it("names what the live rows refer to and does not lose rows that hang on an inserted one", () =>
    withStage(async (stage) => {
      const { act } = await promoted(stage);
      const after = await stage.hashOf("totals");
      await stage.run(
        "create table public.child (parent text references totals (name)); insert into child values ('d')",
      );
      await expect(act.rollback()).rejects.toMatchObject({
        code: "live_writes_since_promotion",
        message: expect.stringContaining("(name)=(d)"),
      });
      expect(await stage.hashOf("totals")).toBe(after);
    }));

  it("refuses to change values that a key which came later would pass on", () =>
    withStage(async (stage) => {
      await stage.run(totalsDefinition);
      await stage.run("create unique index on totals (code)");
      await stage.run(live);
      const act = await stage.stage("bf_1", [
        { derived: totals, partitions: [0], candidate: "values ('a',1,1.0,0::float8,'AA'), ('b',2,2,'-0','B')" },
      ]);
      await act.promote();
      await stage.run(`create table public.child (code text references totals (code) on update cascade);
        insert into child values ('AA')`);
      await expect(act.rollback()).rejects.toMatchObject({
        code: "promote_refused",
        message: expect.stringContaining("pass that on (CASCADE)"),
      });
      expect(await stage.value("select code from child")).toBe("AA");
      expect(await act.state()).toBe("promoted");
    }));
});

/** Each touches one row that the promotion touched. */
const laterWrites = [
  { what: "an update of an updated row", write: "update totals set amount = 77 where name = 'a'", row: "a" },
  { what: "a delete of an updated row", write: "delete from totals where name = 'a'", row: "a" },
  {
    what: "the return of a deleted row",
    write: "insert into totals (name, bucket, amount) values ('c', 11, 77)",
    row: "c",
  },
  { what: "an update of an inserted row", write: "update totals set amount = 77 where name = 'd'", row: "d" },
  { what: "a note on an inserted row", write: "update totals set note = 'mine' where name = 'd'", row: "d" },
  {
    what: "an update of a row in a range that was empty",
    write: "update totals set amount = 77 where name = 'e'",
    row: "e",
  },
  { what: "a note in a range that was empty", write: "update totals set note = 'mine' where name = 'e'", row: "e" },
];

describe.each(laterWrites)("rollback after $what", ({ write, row }) => {
  it("is refused by default with the key of the row", () =>
    withStage(async (stage) => {
      const { act } = await promoted(stage, { apart: true });
      await stage.run(write);
      const after = await stage.hashOf("totals");
      await expect(act.rollback()).rejects.toMatchObject({
        code: "live_writes_since_promotion",
        details: { datasets: [{ dataset: "totals", changed: 1, samples: [{ name: row }] }] },
      });
      expect(await stage.hashOf("totals")).toBe(after);
      expect(await act.state()).toBe("promoted");
    }));

  it("leaves the row as it is under keep, and restores the others", () =>
    withStage(async (stage) => {
      const { act, before } = await promoted(stage, { apart: true });
      await stage.run(write);
      const one = `(select * from totals where name = '${row}')`;
      const others = `(select * from totals where name <> '${row}')`;
      const kept = await stage.hashOf(one);
      await act.rollback({ onLaterWrites: "keep" });
      expect(await stage.hashOf(one)).toBe(kept);
      const restored = await stage.hashOf(others);
      expect(restored).toBe(await hashOfOriginal(stage, row));
      expect(await stage.hashOf("totals")).not.toBe(before);
    }));

  it("puts the old row back under overwrite", () =>
    withStage(async (stage) => {
      const { act, before } = await promoted(stage, { apart: true });
      await stage.run(write);
      const told: unknown[] = [];
      await act.rollback({
        onLaterWrites: "overwrite",
        audit: async (_tx, _report, { later }) => void told.push(...later),
      });
      expect(await stage.hashOf("totals")).toBe(before);
      expect(told).toMatchObject([{ dataset: "totals", changed: 1 }]);
    }));
});

/** What the rows beside `row` were before anything happened, from a table made in the same way. */
async function hashOfOriginal(stage: Stage, row: string): Promise<string> {
  await stage.run(totalsDefinition.replaceAll("totals", "original"));
  await stage.run(live.replace("into totals", "into public.original"));
  return stage.hashOf(`(select * from public.original where name <> '${row}')`);
}
