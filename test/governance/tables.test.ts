import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { afterAll, describe, expect, it } from "vitest";
import { escapeHtml, reportPage } from "../../src/governance/report-page.ts";
import { csvCell, type Row, writeTable } from "../../src/governance/tables.ts";

const directory = mkdtempSync(join(tmpdir(), "rederive-tables-"));
afterAll(() => rmSync(directory, { recursive: true }));

const columns = [{ name: "id", type: "integer" as const }, { name: "note" }, { name: "more", type: "json" as const }];

describe("a table of a bundle", () => {
  it.each([
    ["plain", "plain"],
    ["=1+1", `"'=1+1"`],
    ["+1", `"'+1"`],
    ["-1", `"'-1"`],
    ["@sum", `"'@sum"`],
    ["\t=1", `"'\t=1"`],
    ['say "a, b"', '"say ""a, b"""'],
    ["two\nlines", '"two\nlines"'],
    ["", ""],
  ])("has %j as a cell of CSV that no spreadsheet runs", (value, cell) => {
    expect(csvCell(value)).toBe(cell);
  });

  it("is the same in three formats, page by page, with numbers of any size", async () => {
    const pages: Row[][] = [
      [{ id: "1", note: null, more: '{"a": 1}' }],
      [],
      [
        { id: "9007199254740993", note: "ü", more: null },
        { id: "-3", note: "=x", more: "[]" },
      ],
    ];
    expect(await writeTable(directory, { name: "some", columns, pages })).toBe(3);
    expect(readFileSync(join(directory, "some.csv"), "utf8")).toBe(
      `id,note,more\r\n1,,"{""a"": 1}"\r\n9007199254740993,ü,\r\n-3,"'=x",[]\r\n`,
    );
    expect(JSON.parse(readFileSync(join(directory, "some.json"), "utf8"))).toEqual([
      { id: 1, note: null, more: { a: 1 } },
      { id: "9007199254740993", note: "ü", more: null },
      { id: -3, note: "=x", more: [] },
    ]);
    const parquet = await parquetReadObjects({ file: await asyncBufferFromFile(join(directory, "some.parquet")) });
    expect(parquet).toEqual([
      { id: 1n, note: null, more: '{"a": 1}' },
      { id: 9007199254740993n, note: "ü", more: null },
      { id: -3n, note: "=x", more: "[]" },
    ]);
  });

  it("may be empty", async () => {
    expect(await writeTable(directory, { name: "none", columns, pages: [[]] })).toBe(0);
    expect(JSON.parse(readFileSync(join(directory, "none.json"), "utf8"))).toEqual([]);
    expect(await parquetReadObjects({ file: await asyncBufferFromFile(join(directory, "none.parquet")) })).toEqual([]);
  });
});

describe("the readable report", () => {
  it("escapes everything that is data, and may load nothing", () => {
    const evil = `<img src=x onerror="alert('1')">&`;
    const page = reportPage({
      title: evil,
      facts: [[evil, evil]],
      tables: [{ title: evil, header: [evil], rows: [[evil]], note: evil }],
      closing: [evil],
    });
    expect(page).not.toContain("<img");
    expect(page.split(escapeHtml(evil))).toHaveLength(10);
    expect(page).toContain("default-src 'none'");
  });
});
