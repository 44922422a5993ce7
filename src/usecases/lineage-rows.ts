/**
 * The input rows behind one row, by its key.
 *
 * Find the row and its partition → the partitions that were read for it, by its stamp → narrow each input down: by the
 * parse tree for a `select`; for a `map` by running it again over what the partition reads. What is found is exact or a
 * stated superset.
 */

import { ordinalAt } from "../catalog/bounds.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { describePartitions, labelOf } from "../catalog/label.ts";
import { upstreamOf } from "../catalog/mapping.ts";
import { isEmpty, type Ranges, union } from "../catalog/ranges.ts";
import { RederiveError, sqlState } from "../errors.ts";
import type { RowInput, RowLineage } from "../lineage/rows.ts";
import { changedReads } from "../store/contents.ts";
import { always, originsAt, readingsOf } from "../store/lineage.ts";
import type { Tx } from "../tx.ts";
import type { Binding } from "../warehouse/bind.ts";
import type { TextRow } from "../warehouse/bisect.ts";
import { compiledQuery } from "../warehouse/column-lineage.ts";
import { columnsHidden, inputHidden, maskRow } from "../warehouse/mask.ts";
import { type Narrowing, narrow } from "../warehouse/narrowing.ts";
import {
  countLive,
  equalityOperators,
  inputRowsWith,
  readRowsBehind,
  rowsByKey,
  type Values,
} from "../warehouse/row-origin.ts";
import type { Context } from "./context.ts";
import { requireDataset } from "./lineage.ts";
import { readersOf } from "./trace.ts";

export interface RowInputWish {
  readonly dataset: string;
  /** Database names of all key columns, and their values as text. */
  readonly key: Values;
  /** Rows of each input that are shown at most. Default 20. */
  readonly rows?: number | undefined;
}

/** Throws `not_found` where there is no such row, `usage` for another key than the dataset's. */
export async function row({ catalog, database }: Context, wish: RowInputWish): Promise<RowLineage> {
  const derived = requireDataset(catalog, wish.dataset);
  if (derived.kind === "source")
    throw new RederiveError("usage", `${wish.dataset} is a source: its rows come from outside`);
  requireKey(derived, wish.key);
  return database.transaction(
    async (tx) => {
      const found = await theRow(tx, derived, wish.key);
      const about = { ...found, key: wish.key, bindings: await bindings(tx, derived, found.ordinal) };
      const partition = labelOf(derived.partitions, found.ordinal);
      return {
        ...{ dataset: derived.name, partition, key: wish.key, backfill: about.bindings.backfill },
        row: maskRow(found.row, columnsHidden(derived)),
        warnings: await warningsOf(tx, derived, found.ordinal, about.bindings.backfill),
        inputs: await inputsOf(tx, catalog, derived, about, wish.rows ?? 20),
      };
    },
    { isolation: "repeatable read" },
  );
}

function requireKey(derived: Derived, key: Values): void {
  const [given, wanted] = [Object.keys(key).sort(), derived.key.map(({ name }) => name).sort()];
  if (given.join() === wanted.join()) return;
  throw new RederiveError(
    "usage",
    `a row of ${derived.name} is named by ${wanted.join(", ")}, and ${given.join(", ") || "nothing"} was given; write ${wanted.map((name) => `${name}=…`).join(",")}`,
  );
}

interface Found {
  readonly row: TextRow;
  readonly ordinal: number;
}

async function theRow(tx: Tx, derived: Derived, key: Values): Promise<Found> {
  let rows: Awaited<ReturnType<typeof rowsByKey>>;
  try {
    rows = await rowsByKey(tx, derived, key);
  } catch (error) {
    if (!/^22/.test(sqlState(error) ?? "")) throw error;
    throw new RederiveError(
      "usage",
      `the key has a value that is none of its column's type: ${(error as Error).message}`,
    );
  }
  const [first] = rows;
  if (first === undefined) throw new RederiveError("not_found", `${derived.name} has no live row with this key`);
  return { row: first.row, ordinal: ordinalOf(derived, first) };
}

function ordinalOf(
  { partitions: scheme }: Derived,
  { row: values, bucket }: { row: TextRow; bucket: number | null },
): number {
  if (scheme.kind === "whole") return 0;
  if (scheme.kind === "hash") return bucket ?? 0;
  const value = values[scheme.column.name] ?? "";
  if (scheme.kind === "list") return scheme.values.findIndex((each) => String(each) === value);
  return ordinalAt(scheme, value);
}

interface Bound {
  readonly backfill: string | null;
  /** What the partition reads of each input; null for everything. */
  readonly reads: ReadonlyMap<string, Ranges | null>;
}

/** By the stamp of the live partition; where there is none, by the mapping. */
async function bindings(tx: Tx, derived: Derived, ordinal: number): Promise<Bound> {
  const partitions: Ranges = [[ordinal, ordinal + 1]];
  const [origin] = await originsAt(tx, always, [{ dataset: derived.name, partitions }]);
  const reads = new Map<string, Ranges | null>();
  const readings = origin === undefined ? [] : await readingsOf(tx, origin.backfill, derived.name, partitions);
  for (const reading of readings) {
    const before = reads.get(reading.input) ?? [];
    reads.set(reading.input, reading.partitions === null ? null : union(before, reading.partitions));
  }
  for (const { name, dataset, mapping } of derived.inputs) {
    if (reads.has(name) || origin !== undefined) continue;
    const edge = { consumer: derived.partitions, input: dataset.partitions, mapping };
    const everything = mapping.kind === "all" || derived.partitions.kind === "whole";
    reads.set(name, everything ? null : upstreamOf(edge, partitions, []));
  }
  return { backfill: origin?.backfill ?? null, reads };
}

async function warningsOf(tx: Tx, derived: Derived, ordinal: number, backfill: string | null): Promise<string[]> {
  const partitions: Ranges = [[ordinal, ordinal + 1]];
  const moved = (await changedReads(tx, [{ dataset: derived.name, partitions }])).get(derived.name) ?? [];
  return [
    ...(backfill === null ? ["no backfill computed this partition; what it read is taken from the definition"] : []),
    ...(isEmpty(moved) ? [] : ["an input was promoted with other rows since this was computed"]),
    ...(derived.inputs.some(({ dataset }) => dataset.kind === "source")
      ? ["rows of sources are shown as they are now"]
      : []),
  ];
}

interface About extends Found {
  readonly key: Values;
  readonly bindings: Bound;
}

/** Sets of values that rows of an input must have (one of them), and what is not certain about it. */
interface Place {
  readonly input: string;
  readonly values: readonly Values[];
  readonly doubts: readonly string[];
}

async function inputsOf(tx: Tx, catalog: Catalog, derived: Derived, about: About, limit: number): Promise<RowInput[]> {
  const places =
    derived.transform.kind === "map" ? await mapPlaces(tx, derived, about) : await selectPlaces(tx, derived, about);
  const found: RowInput[] = [];
  for (const { input, values, doubts } of places) {
    const dataset = derived.inputs.find(({ name }) => name === input)?.dataset;
    if (dataset === undefined) continue;
    const partitions = about.bindings.reads.get(input) ?? null;
    const { count, rows } = await inputRowsWith(tx, dataset, { partitions, values, limit });
    const hidden = inputHidden(derived, dataset, readersOf(catalog, dataset));
    found.push({
      ...{ input, dataset: dataset.name, exact: doubts.length === 0, doubts, count },
      partitions: partitions === null ? "all" : describePartitions(dataset.partitions, partitions),
      narrowedBy: Object.keys(values[0] ?? {}),
      rows: rows.map((each) => maskRow(each, hidden)),
    });
  }
  return found;
}

async function selectPlaces(tx: Tx, derived: Derived, { row: values, ordinal }: About): Promise<Place[]> {
  const known = Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== null),
  );
  const narrowing = await narrowingOf(tx, derived, Object.keys(known));
  return Promise.all(
    narrowing.places.map(async ({ input, by }) => ({
      input,
      values: [Object.fromEntries(Object.entries(by).map(([column, name]) => [column, known[name] ?? ""]))],
      doubts: [...narrowing.doubts, ...(await shared(tx, derived, ordinal, by, known))],
    })),
  );
}

/** Rows that are narrowed down by these values go into every row of the partition that has them. */
async function shared(
  tx: Tx,
  derived: Derived,
  ordinal: number,
  by: Readonly<Record<string, string>>,
  known: Values,
): Promise<string[]> {
  const names = [...new Set(Object.values(by))];
  const values = Object.fromEntries(names.map((name) => [name, known[name] ?? ""]));
  const count = await countLive(tx, derived, [[ordinal, ordinal + 1]], values);
  if (count === 1) return [];
  const what = names.length === 0 ? "" : ` with the same ${names.join(", ")}`;
  return [`${count.toLocaleString("en-US")} rows of the partition${what} share what was found`];
}

/** What a map read, found by running it again, and from there back through the statement that reads. */
async function mapPlaces(tx: Tx, derived: Derived, { key, ordinal, bindings: bound }: About): Promise<Place[]> {
  const { transform } = derived;
  if (transform.kind !== "map") return [];
  const whole = (doubt: string) => derived.inputs.map(({ name }) => ({ input: name, values: [{}], doubts: [doubt] }));
  const read = await readRowsBehind(tx, derived, transform, { bindings: liveBindings(derived, bound), ordinal, key });
  if (read === undefined) return whole("its partition reads too many rows to run the map over them again");
  const { matching, others } = read;
  if (matching.length === 0) return whole("the map does not make this row of what its inputs are now");
  const fields = transform.fields.map((_, index) => `field_${index + 1}`);
  const narrowing = await narrowingOf(
    tx,
    derived,
    fields.filter((field) => matching.every((row) => row[field] !== null)),
  );
  return narrowing.places.map(({ input, by }) => {
    const valuesOf = (row: TextRow) =>
      Object.fromEntries(Object.entries(by).map(([column, field]) => [column, row[field] ?? ""]));
    const values = matching.map(valuesOf);
    const known = new Set(values.map((each) => JSON.stringify(each)));
    const sharing = others.filter((row) => known.has(JSON.stringify(valuesOf(row)))).length;
    const doubt = `${sharing.toLocaleString("en-US")} other rows that the map reads share what was found`;
    return { input, values, doubts: [...narrowing.doubts, ...(sharing === 0 ? [] : [doubt])] };
  });
}

function liveBindings(derived: Derived, { reads }: Bound): Binding[] {
  return derived.inputs.map((input) => {
    const live = reads.get(input.name);
    return { input, recomputed: [], candidate: "", live: live ?? [], everything: live === null };
  });
}

async function narrowingOf(tx: Tx, derived: Derived, fixed: readonly string[]): Promise<Narrowing> {
  const { query, relations } = await compiledQuery(tx, derived);
  return narrow(query, relations, fixed, await equalityOperators(tx));
}
