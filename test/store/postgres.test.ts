import { expect, it } from "vitest";
import { openDatabase } from "../../src/store/postgres.ts";
import { withDatabase } from "../support/postgres.ts";

it("sends and reads arrays without asking the server for its types", () =>
  withDatabase(async (url) => {
    const database = openDatabase(url, { max: 1 });
    const words = ["plain", "", "NULL", 'a "quote"', "a \\ backslash", "{braces, commas}", null];
    const params = [words, [1, 2n, "9007199254740993"], []];
    const sent = "select $1::text[] as words, $2::int8[] as big, $3::text[] as none";
    expect(await database.query(sent, params)).toEqual([{ words, big: ["1", "2", "9007199254740993"], none: [] }]);
    const read =
      "select '{3,-1}'::int4[] as small, '{7}'::int2[] as keys, '{16384}'::oid[] as oids, '{2.5}'::float8[] as sums";
    expect(await database.query(read)).toEqual([{ small: [3, -1], keys: [7], oids: [16384], sums: [2.5] }]);
    await database.close();
  }));
