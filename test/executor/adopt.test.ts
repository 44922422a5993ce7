/** Rows that a task takes over instead of computing them. */
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { derived, source } from "../../src/catalog/dataset.ts";
import { range } from "../../src/catalog/scheme.ts";
import { rowsOfEarlier } from "../../src/executor/adopt.ts";
import { computeSpecs } from "../../src/executor/work.ts";
import type { Adoptable } from "../../src/store/adoption.ts";
import type { Binding } from "../../src/warehouse/bind.ts";
import { contentHash } from "../../src/warehouse/digest.ts";
import { aSpec, withSession } from "../warehouse/support.ts";

const givenTable = pgTable("given", { id: integer("id").primaryKey(), words: text("words").notNull() });
const madeTable = pgTable("made", { id: integer("id").primaryKey(), words: text("words").notNull() });
const given = source(givenTable, { partitions: range(givenTable.id, 10) });
const made = derived(madeTable, {
  version: 1,
  key: [madeTable.id],
  partitions: range(madeTable.id, 10),
  inputs: { given },
  read: ({ db, given: g }) => db.select({ id: g.id, words: g.words }).from(g),
  map: () => {
    throw new Error("nothing is to be mapped");
  },
});

describe("rows of an earlier backfill", () => {
  it("are copied and measured in one pass, also where a map made them", async () => {
    await withSession(async (session) => {
      await session.query("create table public.given (id int primary key, words text not null)");
      await session.query("create table public.made (id int primary key, words text not null)");
      const earlier = await aSpec(session, made, { backfill: "bf_earlier" });
      await session.query(`insert into ${earlier.candidate} select n, 'word ' || n from generate_series(0, 14) n`);
      const [hash] = await session.query<{ hash: string }>(
        `select ${contentHash(earlier.columns)} as hash from ${earlier.candidate} where id >= 10`,
      );
      const spec = await aSpec(session, made, {
        ordinal: 1,
        replace: true,
        adopts: { table: earlier.candidate, stamp: "1", outputHash: "another" },
      });
      // What an attempt before this one has left.
      await session.query(`insert into ${spec.candidate} values (12, 'old')`);
      const noReader = { reader: () => Promise.reject(new Error("nothing is to be read")) };
      const attempt = { session, lane: noReader as never, signal: new AbortController().signal };
      const [measured] = await computeSpecs(attempt, [spec]);
      await session.query("commit");
      expect(measured).toMatchObject({ rowsWritten: 5, rowsRead: null, outputHash: hash?.hash, failures: [] });
      expect(await session.query(`select id, words from ${spec.candidate} order by id`)).toEqual(
        [10, 11, 12, 13, 14].map((id) => ({ id, words: `word ${id}` })),
      );
    });
  });

  const input = made.inputs[0] as Binding["input"];
  const binding: Binding = { input, candidate: "", recomputed: [[3, 4]], live: [[4, 6]] };
  const adoptable = (read: Partial<Adoptable["inputs"][number]>): Adoptable => ({
    task: "1",
    stamp: "9",
    outputHash: "7",
    inputs: [{ input: "given", dataset: "given", recomputed: [], live: [], ...read }],
  });
  const earlier = { backfill: "bf_earlier", candidate: "c" };
  const found = (read: Partial<Adoptable["inputs"][number]>) =>
    rowsOfEarlier({ earlier } as never, adoptable(read), [binding]);

  it("are taken where the same partitions would be read, wherever their rows were", () => {
    expect(found({ live: [[3, 6]] })).toEqual({ table: "c", stamp: "9", outputHash: "7" });
    expect(found({ recomputed: [[3, 6]] })).toEqual({ table: "c", stamp: "9", outputHash: "7" });
  });

  it.each([
    ["fewer", { live: [[3, 5]] as const }],
    ["more", { live: [[2, 6]] as const }],
    ["everything", { everything: true as const }],
  ])("are not taken where %s was read", (_, read) => {
    expect(found(read)).toBeUndefined();
  });
});
