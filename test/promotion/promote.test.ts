import { sql } from "drizzle-orm";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { type Derived, derived, source } from "../../src/catalog/dataset.ts";
import { whole } from "../../src/catalog/scheme.ts";
import { killSleeper, type Stage, totals, totalsAllowing, totalsDefinition, untilWaiting, withStage } from "./stage.ts";

const live = `insert into totals (name, bucket, amount, ratio, code, note) values
  ('a', 1, 1.0, 0, 'A', 'kept'), ('b', 2, 2, 0, 'B', 'kept'), ('c', 11, 3, 1, 'C', 'kept'), ('z', 95, 9, 1, 'Z', 'outside')`;

async function staged(stage: Stage, candidate: string, dataset: Derived = totals, id = "bf_1") {
  await stage.run(totalsDefinition);
  await stage.run(live);
  return stage.stage(id, [{ derived: dataset, partitions: [0, 1, 2], candidate }]);
}

describe("promote", () => {
  it("writes only what differs and keeps columns that the transform does not own", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,1.0,0::float8,'A'), ('b',2,2.5,0,'B'), ('d',21,4,1,'D')");
      const before = await stage.value("select xmin::text from totals where name = 'a'");
      const report = await act.promote();
      expect(report).toEqual({
        ...{ backfill: "bf_1", state: "promoted" },
        datasets: [{ dataset: "totals", inserted: 1, updated: 1, deleted: 1 }],
      });
      expect(
        await stage.rows("select name, id::int, bucket, amount, code, note, doubled from totals order by name"),
      ).toEqual([
        { name: "a", id: 1, bucket: 1, amount: "1.0", code: "A", note: "kept", doubled: "2.0" },
        { name: "b", id: 2, bucket: 2, amount: "2.5", code: "B", note: "kept", doubled: "5.0" },
        { name: "d", id: 5, bucket: 21, amount: "4", code: "D", note: "new", doubled: "8" },
        { name: "z", id: 4, bucket: 95, amount: "9", code: "Z", note: "outside", doubled: "18" },
      ]);
      expect(await stage.value("select xmin::text from totals where name = 'a'")).toBe(before);
      expect(await act.state()).toBe("promoted");
      expect(await stage.rows("select partition::int, fingerprint from rederive.live order by partition")).toEqual([
        { partition: 0, fingerprint: "f-bf_1" },
        { partition: 1, fingerprint: "f-bf_1" },
        { partition: 2, fingerprint: "f-bf_1" },
      ]);
    }));

  it("tells 1.0 from 1.00 and 0 from -0", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,1.00,0::float8,'A'), ('b',2,2,'-0','B'), ('c',11,3,1,'C')");
      expect((await act.promote()).datasets).toEqual([{ dataset: "totals", inserted: 0, updated: 2, deleted: 0 }]);
      expect(await stage.rows("select amount::text, ratio::text from totals where bucket < 10 order by name")).toEqual([
        { amount: "1.00", ratio: "0" },
        { amount: "2", ratio: "-0" },
      ]);
    }));

  it("updates a row that moved to another partition, also into one that was empty", () =>
    withStage(async (stage) => {
      await stage.run(totalsDefinition);
      await stage.run(live);
      // Enough claimed rows a partition that each is a group of its own.
      const act = await stage.stage("bf_1", [
        {
          derived: totals,
          partitions: [0, 1, 2],
          candidate: `values ('a',12,1.0,0::float8,'A'), ('b',25,2,0,'B'), ('c',11,3,1,'C'), ('e',26,1,1,'E')`,
        },
      ]);
      await stage.run("update rederive.stamp set rows_written = 200000");
      expect((await act.promote()).datasets).toEqual([{ dataset: "totals", inserted: 1, updated: 2, deleted: 0 }]);
      expect(await stage.rows("select name, bucket, note from totals order by name")).toEqual([
        { name: "a", bucket: 12, note: "kept" },
        { name: "b", bucket: 25, note: "kept" },
        { name: "c", bucket: 11, note: "kept" },
        { name: "e", bucket: 26, note: "new" },
        { name: "z", bucket: 95, note: "outside" },
      ]);
      expect(await stage.value("select was_empty::text from rederive.restore_point")).toBe("{[2,3)}");
      await act.rollback();
      expect(await stage.rows("select name, bucket, note from totals order by name")).toEqual([
        { name: "a", bucket: 1, note: "kept" },
        { name: "b", bucket: 2, note: "kept" },
        { name: "c", bucket: 11, note: "kept" },
        { name: "z", bucket: 95, note: "outside" },
      ]);
    }));

  it("swaps unique values, whether the constraint is deferrable or not", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,1.0,0::float8,'B'), ('b',2,2,0,'C'), ('c',11,3,1,'A')");
      await stage.run("alter table totals add constraint codes unique (code)");
      const before = await stage.hashOf("totals");
      const swapped = "select name, id::int, code, note from totals order by name limit 3";
      const expected = [
        { name: "a", id: 1, code: "B", note: "kept" },
        { name: "b", id: 2, code: "C", note: "kept" },
        { name: "c", id: 3, code: "A", note: "kept" },
      ];
      expect((await act.promote()).datasets[0]).toMatchObject({ updated: 3, inserted: 0, deleted: 0 });
      expect(await stage.rows(swapped)).toEqual(expected);
      await stage.run("update totals set note = 'edited' where name = 'a'");
      expect((await act.rollback()).datasets[0]).toMatchObject({ updated: 3, inserted: 0, deleted: 0 });
      expect(await stage.value("select note from totals where name = 'a'")).toBe("edited");
      await stage.run("update totals set note = 'kept' where name = 'a'");
      expect(await stage.hashOf("totals")).toBe(before);

      await stage.run("alter table totals drop constraint codes, add constraint codes unique (code) deferrable");
      await stage.run("create table public.child (code text references totals (name))");
      await act.promote();
      expect(await stage.rows(swapped)).toEqual(expected);
      await act.rollback();
      expect(await stage.hashOf("totals")).toBe(before);
    }));

  it("also swaps under an expression index, and gives a value that another row sets free", () =>
    withStage(async (stage) => {
      const act = await staged(
        stage,
        "values ('a',1,1.0,0::float8,'B'), ('b',2,2,0,'A'), ('c',11,3,1,'Q'), ('n',11,3,1,'C')",
      );
      await stage.run("create unique index on totals (lower(code)) where bucket < 90");
      expect((await act.promote()).datasets[0]).toMatchObject({ updated: 3, inserted: 1 });
      expect(await stage.value("select string_agg(code, '' order by name) from totals")).toBe("BAQCZ");
    }));

  it("refuses a swap of unique values that an inbound foreign key would notice", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,1.0,0::float8,'B'), ('b',2,2,0,'A'), ('c',11,3,1,'C')");
      await stage.run("alter table totals add unique (code)");
      await stage.run("create table public.child (parent text references totals (name))");
      const before = await stage.hashOf("totals");
      await expect(act.promote()).rejects.toMatchObject({
        code: "promote_refused",
        message: expect.stringContaining("make the unique constraint deferrable"),
      });
      expect(await stage.hashOf("totals")).toBe(before);
      expect(await act.state()).toBe("verified");
    }));

  it("refuses by name what a merge would break, all problems in one message", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,1.0,0::float8,'A')");
      await stage.run("create table public.child (parent text references totals (name) on delete cascade)");
      await expect(act.promote()).rejects.toThrow(
        /2 rows would be deleted, and foreign key child_parent_fkey of child/,
      );
      await stage.run("drop table child");
      await stage.run("create function public.loud() returns trigger language plpgsql as $$ begin return new; end $$");
      await stage.run("create trigger shout before update on totals for each row execute function loud()");
      await stage.run("alter table totals drop constraint totals_pkey, alter column ratio type float4");
      await expect(act.promote()).rejects.toMatchObject({
        code: "promote_refused",
        details: {
          problems: [
            expect.stringContaining('column ratio of "public"."totals" is real, and was double precision'),
            expect.stringContaining("no unique index on the key (name)"),
            expect.stringContaining("trigger shout"),
          ],
        },
      });
      expect(await act.state()).toBe("verified");
    }));

  it("refuses missing rights and row-level security", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,1.0,0::float8,'A')");
      const role = `reader_${Math.random().toString(36).slice(2)}`;
      await stage.run(`create role ${role}`);
      await stage.run(`grant usage on schema rederive_candidate to ${role}; grant select on all tables in schema rederive_candidate to ${role};
        grant select on totals to ${role}`);
      await stage.run("alter table totals enable row level security");
      const { readFacts, structuralProblems } = await import("../../src/warehouse/preflight.ts");
      const { loadTargets } = await import("../../src/warehouse/target.ts");
      const problems = await stage.database.transaction(async (tx) => {
        await tx.query(`set local role ${role}`);
        const targets = await loadTargets(tx, act.datasets);
        const facts = await readFacts(tx, targets);
        return targets.flatMap((target) => structuralProblems(target, facts.get(target.dataset) as never));
      });
      expect(problems.map((problem) => problem.replace(/ on .*/, ""))).toEqual([
        "totals: this role lacks DELETE",
        "totals: this role lacks INSERT",
        "totals: this role lacks UPDATE",
        expect.stringContaining("row-level security"),
      ]);
      await stage.run(`drop owned by ${role}; drop role ${role}`);
    }));

  it("fires a declared trigger, and refuses what one changes", () =>
    withStage(async (stage) => {
      const act = await staged(
        stage,
        "values ('a',1,1.5,0::float8,'A'), ('b',2,2,0,'B'), ('c',11,3,1,'C')",
        totalsAllowing("stamp_note"),
      );
      await stage.run(
        `create function public.note() returns trigger language plpgsql as $$ begin new.note := 'seen'; return new; end $$`,
      );
      await stage.run("create trigger stamp_note before update on totals for each row execute function note()");
      await act.promote();
      expect(await stage.value("select note from totals where name = 'a'")).toBe("seen");
      await act.rollback();
      await stage.run(
        `create or replace function public.note() returns trigger language plpgsql as $$ begin new.amount := 0; return new; end $$`,
      );
      const before = await stage.hashOf("totals");
      await expect(act.promote()).rejects.toMatchObject({ code: "verification_failed" });
      expect(await stage.hashOf("totals")).toBe(before);
    }));

  it("names the row outside of the backfill that has the same key, and changes nothing", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('z',1,1.5,0::float8,'A')");
      const before = await stage.hashOf("totals");
      await expect(act.promote()).rejects.toMatchObject({
        code: "promote_refused",
        message: expect.stringContaining("(name)=(z)"),
      });
      expect(await stage.hashOf("totals")).toBe(before);
    }));

  it("recomputes the differences after a concurrent write to a touched row", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A'), ('b',2,2,0,'B'), ('c',11,3,1,'C')");
      const writer = await stage.connect();
      await writer.query("begin; update totals set amount = 999, note = 'by hand' where name = 'a'");
      const promoting = act.promote({ options: { attempts: 3, backoffMs: 1, lockTimeoutMs: 20_000 } });
      await untilWaiting(await stage.connect());
      await writer.query("commit");
      await promoting;
      expect(await stage.rows("select amount, note from totals where name = 'a'")).toEqual([
        { amount: "5", note: "by hand" },
      ]);
      await act.rollback();
      expect(await stage.rows("select amount, note from totals where name = 'a'")).toEqual([
        { amount: "999", note: "by hand" },
      ]);
    }));

  it("does not lose a row that was inserted meanwhile under a key of its own candidate", () =>
    withStage(async (stage) => {
      const act = await staged(
        stage,
        "values ('a',1,1.0,0::float8,'A'), ('b',2,2,0,'B'), ('c',11,3,1,'C'), ('new',12,7,1,'N')",
      );
      const writer = await stage.connect();
      await writer.query("begin; insert into totals (name, bucket, amount, note) values ('new', 12, 999, 'by hand')");
      const promoting = act.promote({ options: { attempts: 3, backoffMs: 1, lockTimeoutMs: 20_000 } });
      await untilWaiting(await stage.connect());
      await writer.query("commit");
      expect((await promoting).datasets[0]).toMatchObject({ inserted: 0, updated: 1 });
      expect(await stage.rows("select amount, note from totals where name = 'new'")).toEqual([
        { amount: "7", note: "by hand" },
      ]);
      await act.rollback();
      expect(await stage.value("select amount from totals where name = 'new'")).toBe("999");
    }));

  it("defers when another session holds a lock for long", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      const before = await stage.hashOf("totals");
      const holder = await stage.connect();
      await holder.query("begin; lock table totals in share mode");
      await expect(act.promote({ options: { attempts: 2, backoffMs: 1, lockTimeoutMs: 50 } })).rejects.toMatchObject({
        code: "promote_deferred",
      });
      expect(await act.state()).toBe("verified");
      await holder.query("rollback");
      expect(await stage.hashOf("totals")).toBe(before);
      await act.promote();
      expect(await act.state()).toBe("promoted");
    }));

  it("leaves everything as it was when its session is killed, and can be tried again", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      const before = await stage.hashOf("totals");
      const killer = await stage.connect();
      // Expected at once: it may fail before the killing is reported.
      const kill = expect(
        act.promote({
          audit: async (tx) => void (await tx.query("select pg_sleep(60)")),
        }),
      ).rejects.toThrow();
      await killSleeper(killer);
      await kill;
      expect(await stage.hashOf("totals")).toBe(before);
      expect(await act.state()).toBe("verified");
      expect(await stage.value("select count(*)::int from rederive.live")).toBe(0);
      await act.promote();
    }));

  it("takes over a promotion whose process died, but not one at work", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      await stage.run("update rederive.backfill set state = 'promoting'");
      const other = await stage.connect();
      await other.query("begin; select from rederive.backfill for update");
      await expect(act.promote()).rejects.toMatchObject({
        code: "wrong_state",
        message: expect.stringContaining("another process"),
      });
      await other.query("rollback");
      await act.promote();
      expect(await act.state()).toBe("promoted");
      await expect(act.promote()).rejects.toMatchObject({ code: "wrong_state" });
    }));

  it("refuses what is held, unfinished, or not the plan that was reviewed", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      await expect(act.promote({ planHash: "other" })).rejects.toMatchObject({ code: "plan_stale" });
      await stage.run("update rederive.backfill_dataset set held = true");
      await expect(act.promote()).rejects.toMatchObject({ code: "held" });
      await stage.run("update rederive.backfill_dataset set held = false");
      await stage.run("update rederive.task set state = 'failed' where partition = 1");
      await expect(act.promote()).rejects.toMatchObject({
        code: "wrong_state",
        message: expect.stringContaining("1 tasks"),
      });
      expect(await act.state()).toBe("verified");
    }));

  it("leaves partitions whose tasks were unchanged alone, and stamps them", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      await stage.run(
        "delete from rederive.stamp where partition = 1; update rederive.task set state = 'unchanged' where partition = 1",
      );
      await stage.run(`insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows, reads, promoted_at)
        values ('totals', 1, 7, 'old', 'f', '0', 1, '[]', '2001-01-01Z'), ('totals', 9, 8, 'old', 'old', '0', 1, null, '2001-01-01Z')`);
      const pointers =
        "select partition::int, stamp::int > 8 as fresh, fingerprint, unchanged from rederive.live order by 1";
      const before = await stage.rows(pointers);
      const kept = {
        unchanged: [{ dataset: "totals", partitions: [[9, 10]], fingerprint: "g", because: "unread_change" }],
      } as const;
      await act.promote(kept);
      expect(await stage.value("select string_agg(name, '' order by name) from totals")).toBe("acz");
      expect(await stage.rows(`select partition::int, fingerprint, unchanged from rederive.live order by 1`)).toEqual([
        { partition: 0, fingerprint: "f-bf_1", unchanged: false },
        { partition: 1, fingerprint: "f", unchanged: true },
        { partition: 2, fingerprint: "f-bf_1", unchanged: false },
        { partition: 9, fingerprint: "g", unchanged: true },
      ]);
      await act.rollback();
      expect(await stage.rows(pointers)).toEqual(before);
      await act.promote(kept);
      await act.rollback();
      expect(await stage.rows(pointers)).toEqual(before);
      // Another backfill puts something else there, which is not what the plan said it would leave.
      await stage.run(
        "update rederive.live set stamp = 9, fingerprint = 'new', promoted_at = now() where partition = 9",
      );
      await expect(act.promote(kept)).rejects.toMatchObject({
        code: "plan_stale",
        message: expect.stringContaining("partitions of totals that"),
      });
      expect(await stage.rows("select fingerprint, unchanged from rederive.live where partition = 9")).toEqual([
        { fingerprint: "new", unchanged: false },
      ]);
    }));

  it.each([
    ["gone", "delete from rederive.live where partition = 1"],
    ["of another definition", "update rederive.live set fingerprint = 'g' where partition = 1"],
    ["not known to be made of something", "update rederive.live set reads = null where partition = 1"],
    [
      "made of other content",
      `update rederive.live set reads = '[{"dataset": "upstream", "partitions": "{[0,9)}", "content": "other"}]'`,
    ],
  ])("is refused where what was found unchanged is %s by then", (_, change) =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      await stage.run(
        "delete from rederive.stamp where partition = 1; update rederive.task set state = 'unchanged' where partition = 1",
      );
      await stage.run(`insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows, reads)
        values ('totals', 1, 7, 'old', 'f', '0', 1, '[]')`);
      const before = await stage.hashOf("totals");
      await stage.run(change);
      await expect(act.promote()).rejects.toMatchObject({
        code: "plan_stale",
        details: { datasets: [{ dataset: "totals", partitions: [[1, 2]] }] },
      });
      expect([await act.state(), await stage.hashOf("totals")]).toEqual(["verified", before]);
    }),
  );

  it("a rollback has plans look again at what was computed since from what it takes away", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      const reading = (dataset: string, at: string) =>
        stage.run(`insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows, reads, reads_at)
          values ('${dataset}', 0, 7, 'other', 'f', '0', 1, '[]', ${at})`);
      await reading("before", "timestamptz '2001-01-01Z'");
      await act.promote();
      await reading("since", "clock_timestamp()");
      await act.rollback();
      expect(
        await stage.rows("select dataset, extract(year from reads_at)::int as year from rederive.live order by 1"),
      ).toEqual([
        { dataset: "before", year: 2001 },
        { dataset: "since", year: 1970 },
      ]);
    }));

  it("a rollback leaves a pointer that it only confirmed where a later promotion has moved it", () =>
    withStage(async (stage) => {
      const act = await staged(stage, "values ('a',1,5,0::float8,'A')");
      await stage.run(
        "delete from rederive.stamp where partition = 1; update rederive.task set state = 'unchanged' where partition = 1",
      );
      await stage.run(`insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows, reads)
        values ('totals', 1, 7, 'old', 'f', '0', 1, '[]')`);
      await act.promote();
      await stage.run("update rederive.live set stamp = 99, backfill = 'later' where partition = 1");
      await act.rollback();
      expect(await stage.rows("select partition::int, stamp::int, backfill from rederive.live order by 1")).toEqual([
        { partition: 1, stamp: 99, backfill: "later" },
      ]);
    }));
});

const parentTable = pgTable("parent", { name: text("name").primaryKey(), v: integer("v").notNull() });
const childTable = pgTable("child", {
  name: text("name").primaryKey(),
  parent: text("parent").notNull(),
  v: integer("v").notNull(),
});
const otherTable = pgTable("other", { name: text("name").primaryKey(), v: integer("v").notNull() });
const events = source(pgTable("events", { id: integer("id") }));
const wholeOf = (table: typeof parentTable | typeof childTable | typeof otherTable): Derived =>
  derived(table, {
    version: 1,
    key: [table.name],
    partitions: whole(),
    inputs: { events },
    select: () => sql`select 1`,
  });

async function family(stage: Stage) {
  await stage.run("create table public.parent (name text primary key, v int not null)");
  await stage.run(
    "create table public.child (name text primary key, parent text not null references parent, v int not null)",
  );
  await stage.run("create table public.other (name text primary key, v int not null)");
  await stage.run("insert into parent values ('p1', 1), ('p2', 1)");
  await stage.run("insert into child values ('c1', 'p1', 1), ('c2', 'p2', 1)");
  await stage.run("insert into other values ('o', 1)");
  return stage.stage("bf_f", [
    { derived: wholeOf(childTable), partitions: [0], candidate: "values ('c1', 'p3', 2), ('c3', 'p2', 2)" },
    { derived: wholeOf(otherTable), partitions: [0], candidate: "values ('o', 2)" },
    { derived: wholeOf(parentTable), partitions: [0], candidate: "values ('p2', 2), ('p3', 2)" },
  ]);
}

describe("several datasets", () => {
  it("are merged in foreign-key order, also when a child lets go of a deleted parent", () =>
    withStage(async (stage) => {
      const act = await family(stage);
      const hashes = async () => [
        await stage.hashOf("parent"),
        await stage.hashOf("child"),
        await stage.hashOf("other"),
      ];
      const before = await hashes();
      const report = await act.promote();
      expect(report.datasets).toEqual([
        { dataset: "parent", inserted: 1, updated: 1, deleted: 1 },
        { dataset: "child", inserted: 1, updated: 1, deleted: 1 },
        { dataset: "other", inserted: 0, updated: 1, deleted: 0 },
      ]);
      const after = await hashes();
      await act.rollback();
      expect(await hashes()).toEqual(before);
      await act.promote();
      expect(await hashes()).toEqual(after);
    }));

  it("become visible to readers at one instant", () =>
    withStage(async (stage) => {
      const act = await family(stage);
      const versions =
        "select (select max(v) from parent) || '' || (select max(v) from child) || (select max(v) from other) as v";
      const reader = await stage.connect();
      const seen = new Set<string>();
      let busy = true;
      const reading = (async () => {
        while (busy) seen.add((await reader.query(versions)).rows[0].v);
      })();
      for (let round = 0; round < 5; round += 1) {
        await act.promote();
        await act.rollback();
      }
      busy = false;
      await reading;
      expect([...seen].every((version) => version === "111" || version === "222")).toBe(true);
    }));

  it("say which rows of other tables still refer to what would be deleted", () =>
    withStage(async (stage) => {
      const act = await family(stage);
      await stage.run("create table public.outside (parent text references parent); insert into outside values ('p1')");
      await expect(act.promote()).rejects.toMatchObject({
        code: "promote_refused",
        message: expect.stringContaining("(name)=(p1)"),
      });
      expect(await stage.value("select count(*)::int from parent where v = 1")).toBe(2);
    }));
});
