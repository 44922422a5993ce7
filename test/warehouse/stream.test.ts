import {
  bigint,
  boolean,
  customType,
  date,
  doublePrecision,
  integer,
  json,
  jsonb,
  numeric,
  pgTable,
  text,
  timestamp,
  uuid,
} from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { type Derived, derived, source } from "../../src/catalog/dataset.ts";
import { range } from "../../src/catalog/scheme.ts";
import { RederiveError } from "../../src/errors.ts";
import { judgeTask } from "../../src/validation/verdict.ts";
import { contentHash } from "../../src/warehouse/digest.ts";
import type { TaskSpec } from "../../src/warehouse/measure.ts";
import { openSession, type Session } from "../../src/warehouse/session.ts";
import { computeMap } from "../../src/warehouse/stream.ts";
import { aSpec, inTransaction, withSession } from "./support.ts";

const bytea = customType<{ data: Buffer }>({ dataType: () => "bytea" });

const columns = () => ({
  id: bigint("id", { mode: "bigint" }).notNull(),
  small: integer("small"),
  amount: numeric("amount"),
  ratio: doublePrecision("ratio"),
  paid: boolean("paid"),
  note: text("note"),
  day: date("day"),
  exact: timestamp("exact_at", { withTimezone: true, mode: "string" }),
  wall: timestamp("wall"),
  ref: uuid("ref"),
  raw: bytea("raw"),
  doc: json("doc"),
  docb: jsonb("docb"),
  tags: text("tags").array(),
  grid: integer("grid").array().array(),
});
const inTable = pgTable("input", columns());
const outTable = pgTable("output", columns());
const input = source(inTable, { partitions: range(inTable.id, 1_000_000_000) });

const createTables = (from: number, count: number) => `
  create table input (id int8, small int, amount numeric, ratio float8, paid bool, note text, day date, exact_at timestamptz,
    wall timestamp, ref uuid, raw bytea, doc json, docb jsonb, tags text[], grid int[][]);
  create table output (like input);
  insert into input select i, case when i % 7 > 0 then (i % 100000)::int end,
      case i % 5 when 0 then 'NaN' when 1 then '1.00' when 2 then '12345678901234567890.123456789' else i / 3.0 end,
      case i % 6 when 0 then '-0'::float8 when 1 then 'NaN' when 2 then '-Infinity' else i / 7.0 end,
      i % 2 = 0,
      case i % 9 when 0 then null when 1 then '' when 2 then E'tab\\tline\\nreturn\\r back\\\\slash \\\\N' when 3 then '\\N' when 4 then '\\\\.'
        when 5 then E'\\b\\f\\v\\x01' else 'žluťoučký 🐎 ' || i end,
      '2001-01-01'::date + (i % 100)::int,
      '2001-01-01 00:00:00.000001+00'::timestamptz + (i % 1000000) * interval '1.000001 seconds',
      '2001-01-01 12:00:00.123'::timestamp + (i % 1000000) * interval '1 second',
      ('00000000-0000-4000-8000-' || lpad(to_hex(i % 1000000), 12, '0'))::uuid,
      decode(lpad(to_hex(i % 65536), 4, '0') || '5c0a09', 'hex'),
      case i % 4 when 0 then '"123"' when 1 then '{"a":"b\\n","c":[1,null]}' when 2 then '[0.5,true]' else '"text"' end::json,
      jsonb_build_object('id', i, 'tab', E'\\t'),
      array['a', null, 'b "q" \\ c,d', '', 'NULL'], array[[1, (i % 10)::int], [3, null]]
    from generate_series(${from}::int8, ${from}::int8 + ${count - 1}) as i`;

/** A copy of the input by `map`, changed as the test wants it. */
function copyOf(map: (row: Record<string, unknown>) => unknown): Derived {
  return derived(outTable, {
    version: 1,
    key: [outTable.id],
    partitions: range(outTable.id, 1_000_000_000),
    inputs: { input },
    read: ({ db, input: rows }) => db.select(columnsOf(rows as unknown as typeof inTable)).from(rows),
    map: map as never,
  }) as unknown as Derived;
}

function columnsOf(table: typeof inTable) {
  const { id, small, amount, ratio, paid, note, day, exact, wall, ref, raw, doc, docb, tags, grid } = table;
  return { id, small, amount, ratio, paid, note, day, exact, wall, ref, raw, doc, docb, tags, grid };
}

interface Run {
  readonly session: Session;
  readonly reader: Session;
  readonly spec: TaskSpec;
}

async function withRun(
  dataset: Derived,
  rows: { from: number; count: number },
  work: (run: Run) => Promise<void>,
): Promise<void> {
  await withSession(async (session, url) => {
    await session.query(createTables(rows.from, rows.count));
    const ordinal = Math.floor(rows.from / 1_000_000_000);
    const bound = {
      input: dataset.inputs[0] as never,
      recomputed: [],
      candidate: "",
      live: [[ordinal, ordinal + 1]] as const,
    };
    const spec = await aSpec(session, dataset, { ordinal, bindings: [bound] });
    const reader = await openSession(url, { applicationName: "rederive test reader" });
    try {
      await work({ session, reader, spec });
    } finally {
      await reader.end();
    }
  });
}

const never = new AbortController().signal;

/** The error of a run that must fail; the work session must then be good for a rollback and more work. */
async function failureOf({ session, reader, spec }: Run, signal = never): Promise<RederiveError> {
  const error: unknown = await inTransaction(session, () => computeMap(session, reader, spec, signal)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(reader.usable).toBe(false);
  const [row] = await session.query<{ n: number }>(`select count(*)::int as n from ${spec.candidate}`);
  expect(row?.n).toBe(0);
  return error as RederiveError;
}

describe("computeMap", () => {
  it("carries every type there and back unchanged, in 200,000 rows with ids beyond 2^53", async () => {
    await withRun(
      copyOf((row) => ({ ...row })),
      { from: 9_007_199_000_000_000, count: 200_000 },
      async ({ session, reader, spec }) => {
        const measured = await inTransaction(session, () => computeMap(session, reader, spec, never));
        expect(measured).toMatchObject({ rowsWritten: 200_000, rowsRead: 200_000, failures: [] });
        const given = await session.query<{ hash: string }>(`select ${contentHash(spec.columns)} as hash from input`);
        expect(given).toEqual([{ hash: measured.outputHash }]);
        // The reader is free again: its transaction has ended.
        expect(await reader.query("select 1 as one")).toEqual([{ one: 1 }]);
      },
    );
  }, 240_000);

  it("gives what drizzle over node-postgres would give", async () => {
    const seen: Record<string, unknown>[] = [];
    const dataset = copyOf((row) => {
      seen.push(row);
      return null;
    });
    await withRun(dataset, { from: 0, count: 4 }, async ({ session, reader, spec }) => {
      const measured = await inTransaction(session, () => computeMap(session, reader, spec, never));
      expect(measured).toMatchObject({ rowsWritten: 0, rowsRead: 4, outputHash: "0" });
      expect(seen[0]).toEqual({
        id: 0n,
        small: null,
        amount: "NaN",
        ratio: -0,
        paid: true,
        note: null,
        day: "2001-01-01",
        exact: "2001-01-01 00:00:00.000001+00",
        wall: new Date("2001-01-01T12:00:00.123Z"),
        ref: "00000000-0000-4000-8000-000000000000",
        raw: Buffer.from("00005c0a09", "hex"),
        doc: "123",
        docb: { id: 0, tab: "\t" },
        tags: ["a", null, 'b "q" \\ c,d', "", "NULL"],
        grid: [
          [1, 0],
          [3, null],
        ],
      });
      expect(seen[2]?.["note"]).toBe("tab\tline\nreturn\r back\\slash \\N");
    });
  });

  it("takes several rows for one, and finds rows outside of the partition", async () => {
    const dataset = copyOf((row) => [{ ...row }, { ...row, id: -1n }]);
    await withRun(dataset, { from: 5, count: 3 }, async ({ session, reader, spec }) => {
      await inTransaction(session, async () => {
        const measured = await computeMap(session, reader, spec, never);
        expect(measured.rowsWritten).toBe(6);
        expect(measured.failures.map(({ probe, count }) => [probe.name, count])).toEqual([
          ["row_outside_partition", 3],
        ]);
        const verdict = await judgeTask(session, spec, measured);
        expect(verdict.outcomes[0]?.evidence.rows.map((row) => row["id"])).toEqual(["-1", "-1", "-1"]);
      });
      expect(await session.query(`select count(*)::int as n from ${spec.candidate}`)).toEqual([{ n: 3 }]);
    });
  });

  it("sees the snapshot of the work transaction, not later commits", async () => {
    await withRun(
      copyOf((row) => ({ ...row })),
      { from: 0, count: 10 },
      async ({ session, reader, spec }) => {
        await session.query("begin isolation level repeatable read");
        await session.query("select count(*) from input");
        await reader.query("delete from input");
        const measured = await computeMap(session, reader, spec, never);
        await session.query("commit");
        expect(measured.rowsRead).toBe(10);
      },
    );
  });

  it("replaces what an earlier attempt left", async () => {
    await withRun(
      copyOf((row) => ({ ...row })),
      { from: 0, count: 500 },
      async ({ session, reader, spec }) => {
        const first = await inTransaction(session, () => computeMap(session, reader, spec, never));
        const again = await inTransaction(session, () =>
          computeMap(session, reader, { ...spec, replace: true }, never),
        );
        expect(again).toEqual({ ...first, measuredAt: expect.any(String) });
        const [row] = await session.query<{ lost: number }>(
          `select count(*)::int as lost from (select ${textColumns} from input except all select ${textColumns} from ${spec.candidate}) t`,
        );
        expect(row?.lost).toBe(0);
      },
    );
  });
});

describe("a failing map task", () => {
  const rows = { from: 0, count: 20_000 };
  const late = (row: Record<string, unknown>) => row["id"] === 15_000n;

  it("names the column that Postgres refuses and keeps the value to itself", async () => {
    const dataset = copyOf((row) => (late(row) ? { ...row, small: "secret" } : { ...row }));
    await withRun(dataset, rows, async (run) => {
      const error = await failureOf(run);
      expect(error).toMatchObject({ code: "transform_failed", details: { column: "small", sqlState: "22P02" } });
      expect(error.message).toBe("map of output returned a value for small (integer) that Postgres refuses (22P02)");
      expect(JSON.stringify(error.details)).not.toContain("secret");
    });
  });

  it.each([
    ["a missing column", { paid: undefined }, "map of output returned a row without paid; null is a value"],
    ["a surplus column", { colour: "secret" }, "map of output returned colour, which is no owned column"],
    [
      "a value of no type",
      { paid: () => "secret" },
      "map of output returned a function for paid, which is no value of a boolean column",
    ],
    [
      "a value that drizzle cannot encode",
      { wall: "secret" },
      "map of output returned a string for wall, which is no value of a timestamp column",
    ],
  ])("refuses %s", async (_, change, message) => {
    await withRun(
      copyOf((row) => (late(row) ? { ...row, ...change } : { ...row })),
      rows,
      async (run) => {
        expect(await failureOf(run)).toMatchObject({ code: "transform_failed", message });
      },
    );
  });

  it("refuses a promise and a row that is none", async () => {
    await withRun(
      copyOf(async (row) => row),
      { from: 0, count: 3 },
      async (run) => {
        expect((await failureOf(run)).message).toBe("map of output returned a promise; it must be synchronous");
      },
    );
    await withRun(
      copyOf(() => 7),
      { from: 0, count: 3 },
      async (run) => {
        expect((await failureOf(run)).message).toBe("map of output returned a number where a row belongs");
      },
    );
  });

  it("says where the function threw, and keeps its words in the cause", async () => {
    const dataset = copyOf((row) => {
      if (late(row)) throw new TypeError("secret");
      return { ...row };
    });
    await withRun(dataset, rows, async (run) => {
      const error = await failureOf(run);
      expect(error.code).toBe("transform_failed");
      expect(error.message).toMatch(/^map of output threw TypeError at .*stream\.test\.ts:\d+:\d+/);
      expect(error.message).not.toContain("secret");
      expect(error.cause).toBeInstanceOf(TypeError);
    });
  });

  it("stops in the middle when it is aborted", async () => {
    const controller = new AbortController();
    let calls = 0;
    const dataset = copyOf((row) => {
      calls += 1;
      if (calls === 1000) controller.abort(new RederiveError("fenced", "lost the lease"));
      return { ...row };
    });
    await withRun(dataset, rows, async (run) => {
      expect(await failureOf(run, controller.signal)).toMatchObject({ code: "fenced" });
      expect(calls).toBeLessThan(10_000);
    });
  });

  it("passes an error of the read statement through", async () => {
    await withRun(
      copyOf((row) => ({ ...row })),
      rows,
      async (run) => {
        await run.session.query(
          "create function boom(i int8) returns int8 immutable language plpgsql as $$ begin return 1 / (i - 15000); end $$",
        );
        const { transform } = run.spec.derived;
        const statement = transform.statement.replace('"id"', 'boom("id") + "id"');
        const broken = {
          ...run,
          spec: { ...run.spec, derived: { ...run.spec.derived, transform: { ...transform, statement } } },
        };
        expect(await failureOf(broken)).toMatchObject({ code: "22012" });
      },
    );
  });

  it.each(["reader", "session"] as const)("settles when the backend of the %s is terminated", async (victim) => {
    let kill = () => {};
    let killed: Promise<unknown> = Promise.resolve();
    let calls = 0;
    const dataset = copyOf((row) => {
      calls += 1;
      if (calls === 1000) kill();
      return { ...row };
    });
    await withSession(async (admin, url) => {
      await admin.query(createTables(0, 100_000));
      const session = await openSession(url, { applicationName: "rederive test" });
      const reader = await openSession(url, { applicationName: "rederive test reader" });
      const bound = { input: dataset.inputs[0] as never, recomputed: [], candidate: "", live: [[0, 1]] as const };
      const spec = await aSpec(session, dataset, { bindings: [bound] });
      const { pid } = victim === "reader" ? reader : session;
      kill = () => {
        killed = admin.query("select pg_terminate_backend($1::int)", [pid]);
      };
      await session.query("begin isolation level repeatable read");
      await expect(computeMap(session, reader, spec, never)).rejects.toThrow();
      expect(session.usable).toBe(victim === "reader");
      await killed;
      await session.end();
    });
  });
});

const textColumns = [
  ...["id", "small", "amount::text", "ratio::text", "paid", "note", "day", "exact_at", "wall", "ref", "raw"],
  ...["doc::jsonb::text", "docb::text", "tags::text", "grid::text"],
].join(", ");
