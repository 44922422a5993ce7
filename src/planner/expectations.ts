/** What somebody expects to change, at most: as it is written into the request, and dataset by dataset. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import type { DatasetExpectation, Decision, Expectation, RequestedExpectation, Step } from "../plan.ts";
import { didYouMean } from "../suggest.ts";
import { requireDerived } from "./refuse.ts";
import { causeOf } from "./report.ts";

/** Names sorted and once each. Throws `usage` for numbers that make no sense and for columns that no dataset has. */
export function canonicalExpectation(catalog: Catalog, expect: RequestedExpectation): RequestedExpectation {
  const { datasets, ...common } = expect;
  const named = Object.entries(datasets ?? {}).map(([name, each]) => {
    const derived = requireDerived(catalog, name);
    const expectation = canonical(each);
    for (const column of expectation.columns ?? []) requireOwned(derived, column);
    return [name, expectation] as const;
  });
  return { ...canonical(common), ...(named.length === 0 ? {} : { datasets: Object.fromEntries(named) }) };
}

/** For each recomputed dataset of which something is expected. Throws `usage` for a column that none of them owns. */
export function expectationsOf(
  catalog: Catalog,
  expect: RequestedExpectation | undefined,
  steps: readonly Step[],
): Pick<Decision, "expect"> {
  if (expect === undefined) return {};
  const recomputed = steps.filter((step) => step.action === "recompute");
  requireSomewhere(catalog, expect.columns ?? [], recomputed);
  const all = recomputed.map((step): DatasetExpectation => {
    const derived = requireDerived(catalog, step.dataset);
    return { dataset: step.dataset, ...(expect.datasets?.[step.dataset] ?? common(derived, expect, step)) };
  });
  const said = all.filter((each) => Object.keys(each).length > 1);
  return said.length === 0 ? {} : { expect: said };
}

function common(derived: Derived, { columns, where, maxChangedRows, maxChangedRatio }: Expectation, step: Step) {
  const direct = causeOf(step) === "direct";
  const owned = columns?.filter((name) => owns(derived, name));
  return {
    ...(maxChangedRows === undefined ? {} : { maxChangedRows }),
    ...(maxChangedRatio === undefined ? {} : { maxChangedRatio }),
    ...(owned === undefined || !direct ? {} : { columns: owned }),
    ...(where === undefined || !direct ? {} : { where }),
  };
}

function canonical(expectation: Expectation): Expectation {
  const { columns, maxChangedRows, maxChangedRatio, where } = expectation;
  if (maxChangedRows !== undefined && !(Number.isSafeInteger(maxChangedRows) && maxChangedRows >= 0)) {
    throw new RederiveError("usage", `at most ${maxChangedRows} rows makes no sense; give a whole number from 0 on`);
  }
  if (maxChangedRatio !== undefined && !(maxChangedRatio >= 0 && maxChangedRatio <= 1)) {
    throw new RederiveError("usage", `a share of ${maxChangedRatio} makes no sense; give a number from 0 to 1`);
  }
  return {
    ...(columns === undefined ? {} : { columns: [...new Set(columns)].sort() }),
    ...(maxChangedRows === undefined ? {} : { maxChangedRows }),
    ...(maxChangedRatio === undefined ? {} : { maxChangedRatio }),
    ...(where === undefined ? {} : { where: where.trim() }),
  };
}

function requireSomewhere(catalog: Catalog, columns: readonly string[], steps: readonly Step[]): void {
  const derived = steps
    .filter((step) => causeOf(step) === "direct")
    .map((step) => requireDerived(catalog, step.dataset));
  const [first] = derived;
  if (first === undefined) return;
  for (const name of columns) if (!derived.some((each) => owns(each, name))) requireOwned(first, name);
}

function requireOwned(derived: Derived, name: string): void {
  if (owns(derived, name)) return;
  const hint = didYouMean(
    name,
    derived.owned.map((column) => column.name),
  );
  throw new RederiveError(
    "usage",
    `changes are expected in the column "${name}", which ${derived.name} does not own${hint}; ` +
      `it owns ${derived.owned.map((column) => column.name).join(", ")}`,
    { details: { dataset: derived.name, column: name } },
  );
}

function owns(derived: Derived, name: string): boolean {
  return derived.owned.some((column) => column.name === name);
}
