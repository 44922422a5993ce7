/** Tolerances as people write them, and what a comparison with a baseline means for a backfill. */
import { RederiveError } from "../errors.ts";
import type { Tolerance } from "../warehouse/baseline.ts";
import type { EvidenceRow } from "../warehouse/evidence.ts";
import type { Severity } from "../warehouse/probe.ts";
import type { Outcome } from "./verdict.ts";

export type { Tolerance } from "../warehouse/baseline.ts";

const numberTypes = /^(smallint|integer|bigint|numeric|real|double precision)(\(.*\))?$/;

/** `{ cents: "0.5", rate: "1%" }`: an absolute number, or a share of what the baseline has. Throws `usage`. */
export function parseTolerance(wishes: Readonly<Record<string, string>>): Record<string, Tolerance> {
  return Object.fromEntries(Object.entries(wishes).map(([column, wish]) => [column, toleranceOf(column, wish)]));
}

function toleranceOf(column: string, wish: string): Tolerance {
  const [, digits, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(wish.trim()) ?? [];
  if (digits === undefined) {
    throw new RederiveError(
      "usage",
      `the tolerance of ${column} is ${JSON.stringify(wish.slice(0, 40))}; write a number such as 0.01, or a share such as 1%`,
    );
  }
  return percent === "%" ? { relative: Number(digits) / 100 } : { absolute: Number(digits) };
}

/** Every column with a tolerance must be there, be a number, and be compared. Throws `usage`. */
export function requireTolerable(
  tolerance: Readonly<Record<string, Tolerance>>,
  key: readonly string[],
  columns: readonly { readonly name: string; readonly type: string }[],
): void {
  for (const name of Object.keys(tolerance)) {
    const found = columns.find((column) => column.name === name);
    const why =
      found === undefined
        ? `there is no such column; there are ${columns.map((column) => column.name).join(", ")}`
        : !numberTypes.test(found.type)
          ? `it is ${found.type}, and only numbers can be close`
          : key.length === 0
            ? "rows without a key are equal or not; give the baseline a key"
            : key.includes(name)
              ? "it is part of the key, which tells rows apart"
              : undefined;
    if (why !== undefined) throw new RederiveError("usage", `no tolerance is possible for ${name}: ${why}`);
  }
}

export interface Compared {
  readonly name: string;
  readonly version: number;
  readonly severity: Severity;
}

/** Undefined where nothing differs. */
export function outcomeOf(
  { name, version, severity }: Compared,
  { count, sql, rows }: { readonly count: number; readonly sql: string | null; readonly rows: readonly EvidenceRow[] },
): Outcome | undefined {
  if (count === 0) return undefined;
  const message = `${count} rows differ from baseline ${name}, version ${version}`;
  return { name: `baseline(${name})`, severity, failures: count, evidence: { message, sql, rows } };
}

/** The comparison could not be made, which proves nothing and so holds as a difference would. */
export function uncomparable({ name, version, severity }: Compared, why: string): Outcome {
  const message = `baseline ${name}, version ${version}, cannot be compared: ${why}`;
  return { name: `baseline(${name})`, severity, failures: 1, evidence: { message, sql: null, rows: [] } };
}
