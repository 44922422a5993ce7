/** docs/checks.md says what the code says: the same functions, signatures, docstrings, options and units. */
import { readFileSync } from "node:fs";
import { check, rule } from "rederive";
import { describe, expect, it } from "vitest";
import { unitBounds } from "../../src/catalog/rule.ts";
import { referenceOf } from "./reference.ts";

const document = readFileSync(new URL("../../docs/checks.md", import.meta.url), "utf8");
const checks = Object.keys(check).map((name) => ({ space: "check" as const, name }));
const rules = Object.keys(rule).map((name) => ({ space: "rule" as const, name }));

describe("docs/checks.md", () => {
  it("has a section for each function and no other", () => {
    const headings = [...document.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual([...[...checks, ...rules].map(({ space, name }) => `${space}.${name}`), "assume"]);
  });

  it.each([...checks, ...rules, { space: undefined, name: "assume" }])(
    "tells $name as the code does",
    ({ space, name }) => {
      expect(document).toContain(`${referenceOf(space, name)}\n`);
    },
  );

  it("has the bounds of each unit", () => {
    const rows = [...document.matchAll(/^\| (\w+) +\| (\S*) +\| (\S*) +\| (whole)? +\|$/gm)].map(
      ([, unit = "", min = "", max = "", whole]) => [
        unit,
        {
          ...(min === "" ? {} : { min: Number(min) }),
          ...(max === "" ? {} : { max: Number(max) }),
          ...(whole === undefined ? {} : { whole: true }),
        },
      ],
    );
    expect(Object.fromEntries(rows)).toEqual(unitBounds);
  });

  it("names the checks that are implied", () => {
    for (const name of ["row_outside_partition", "key_not_null", "key_unique", "not_emptied"]) {
      expect(document).toContain(`\`${name}\``);
    }
  });
});
