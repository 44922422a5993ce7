import { describe, expect, it } from "vitest";
import { contentHash, exactExpression, rowHash } from "../../src/warehouse/digest.ts";
import type { Session } from "../../src/warehouse/session.ts";
import { withSession } from "./support.ts";

/** Pairs of values that Postgres may call equal, or that are easily taken for one another. */
const different: readonly [type: string, one: string, other: string][] = [
  ["numeric", "1.0", "1.00"],
  ["double precision", "0", "-0"],
  ["double precision", "0.1", "0.10000000000000002"],
  ["real", "0", "-0"],
  ["text", "a", "a "],
  ["text", "é", "e\u0301"],
  ["json", '{"a":1}', '{"a": 1}'],
  ["jsonb", "[1.0]", "[1.00]"],
  ["interval", "1 month", "30 days"],
  ["numeric[]", "{1.0}", "{1.00}"],
  ["double precision[]", "{0}", "{-0}"],
  ["text[]", "{NULL}", '{"NULL"}'],
  ["time with time zone", "12:00:00+00", "13:00:00+01"],
  ["bytea", "\\x00", "\\x0000"],
  ["bigint", "9007199254740992", "9007199254740993"],
  ["timestamp with time zone", "2001-01-01 00:00:00.000001+00", "2001-01-01 00:00:00.000002+00"],
  ["date", "infinity", "-infinity"],
  ["boolean", "t", "f"],
  ["public.mood", "sad", "glad"],
  ["public.pair", "(1,1.0)", "(1,1.00)"],
];

const same: readonly [type: string, one: string, other: string][] = [
  ["numeric", "NaN", "nan"],
  ["double precision", "NaN", "nan"],
  ["timestamp with time zone", "2001-01-01 00:00:00+00", "2001-01-01 01:00:00+01"],
  ["uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
];

async function hashOf(
  session: Session,
  columns: readonly { name: string; type: string }[],
  from: string,
): Promise<string> {
  const [row] = await session.query<{ hash: string }>(`select ${contentHash(columns)} as hash from ${from}`);
  return (row as { hash: string }).hash;
}

const pairs = [
  { name: "a", type: "integer" },
  { name: "b", type: "text" },
];

describe("the content hash", () => {
  it("tells values apart that are equal to Postgres, and agrees with exactExpression", async () => {
    await withSession(async (session) => {
      await session.query("create type public.mood as enum ('sad', 'glad')");
      await session.query("create type public.pair as (a int, b numeric)");
      for (const [cases, equal] of [
        [different, false],
        [same, true],
      ] as const) {
        for (const [type, one, other] of cases) {
          const column = [{ name: "v", type }];
          const hashes = [];
          for (const value of [one, other]) {
            const quoted = value.replaceAll("'", "''");
            hashes.push(await hashOf(session, column, `(select '${quoted}'::${type} as v) as r`));
          }
          expect([type, one, other, hashes[0] === hashes[1]]).toEqual([type, one, other, equal]);
          const v = exactExpression({ name: "v", type }, "r");
          const [row] = await session.query<{ equal: boolean }>(
            `select ${v} = ${v.replace("r.", "s.")} as equal from (select $1::text::${type} as v) r, (select $2::text::${type} as v) s`,
            [one, other],
          );
          expect([type, one, other, row?.equal]).toEqual([type, one, other, equal]);
        }
      }
    });
  });

  it("has no order, counts duplicates, and tells null from an empty text", async () => {
    await withSession(async (session) => {
      const hash = (values: string) => hashOf(session, pairs, `(values ${values}) as r (a, b)`);
      expect(await hash("(1, 'x'), (2, 'y')")).toBe(await hash("(2, 'y'), (1, 'x')"));
      expect(await hash("(1, 'x'), (1, 'x')")).not.toBe(await hash("(1, 'x')"));
      expect(await hash("(1, ''::text)")).not.toBe(await hash("(1, null::text)"));
      expect(await hashOf(session, pairs, "(values (1, 'x')) as r (a, b) where false")).toBe("0");
    });
  });

  it("sees two rows exchange a value, which a plain sum of record hashes does not", async () => {
    await withSession(async (session) => {
      const before = "(values (1, 'x'), (2, 'y')) as r (a, b)";
      const after = "(values (1, 'y'), (2, 'x')) as r (a, b)";
      expect(await hashOf(session, pairs, before)).not.toBe(await hashOf(session, pairs, after));
      const plain = (from: string) =>
        session.query(
          `select mod(sum(hash_record_extended(row(a, b collate "C"), 0)) + 2 ^ 65::numeric, 2 ^ 64::numeric) as sum from ${from}`,
        );
      expect(await plain(before)).toEqual(await plain(after));
    });
  });

  it("is the same in every version of Postgres", async () => {
    await withSession(async (session) => {
      const columns = golden.map(([type], index) => ({ name: `c${index}`, type }));
      const values = golden.map(([type, value], index) => `'${value}'::${type} as c${index}`).join(", ");
      const row = `(select ${values}) as r`;
      const single: Record<string, string> = {};
      for (const column of columns) {
        const [found] = await session.query<{ hash: string }>(`select ${rowHash([column])}::text as hash from ${row}`);
        single[column.type] = (found as { hash: string }).hash;
      }
      expect({ ...single, all: await hashOf(session, columns, row) }).toMatchInlineSnapshot(`
        {
          "all": "15195665790528982515",
          "bigint": "-4157456193044312269",
          "boolean": "-334552881261359518",
          "bytea": "3260969930719491402",
          "character varying(20)": "3192986693718248026",
          "date": "7528023042918356712",
          "double precision": "7707462836071139382",
          "integer": "-2735253343088374161",
          "jsonb": "4007443074791667062",
          "numeric": "215157452459752369",
          "real": "5221528362125514618",
          "smallint": "-2711448369436071095",
          "text": "-9014720988535009013",
          "text[]": "3752269412444557486",
          "timestamp with time zone": "-8953822476189107566",
          "timestamp without time zone": "-8953822476189107566",
          "uuid": "-6296088167601859184",
        }
      `);
    });
  });
});

const golden: readonly [type: string, value: string][] = [
  ["smallint", "-7"],
  ["integer", "42"],
  ["bigint", "9007199254740993"],
  ["boolean", "t"],
  ["uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
  ["date", "2001-01-31"],
  ["timestamp without time zone", "2001-01-31 05:06:07.123456"],
  ["timestamp with time zone", "2001-01-31 05:06:07.123456+00"],
  ["numeric", "1.00"],
  ["double precision", "0.1"],
  ["real", "-0"],
  ["text", "žluťoučký"],
  ["character varying(20)", "x"],
  ["jsonb", '{"a": [1.0, null]}'],
  ["bytea", "\\x00ff"],
  ["text[]", '{a,"b c",NULL}'],
];
