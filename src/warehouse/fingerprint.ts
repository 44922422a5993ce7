/**
 * The data fingerprint of a derived dataset: everything of its own that decides what a partition comes out as.
 *
 * Parents are not in it; they enter by content. Neither are checks, descriptions, owners and limits: a change of those
 * recomputes nothing.
 */
import type { Derived, Input } from "../catalog/dataset.ts";
import type { DataShape, LockFile } from "../catalog/definition.ts";
import { shapeOfMapping } from "../catalog/mapping.ts";
import { shapeOf } from "../catalog/scheme.ts";
import { hashOf } from "../hash.ts";
import { type LiveColumn, ownedOf } from "./columns.ts";
import type { Description } from "./describe.ts";
import { pins } from "./session.ts";

/** Raise it when the meaning of a field below changes; every dataset is then recomputed. */
const format = 1;

/**
 * What stands behind the fingerprint, for telling what changed. Rows and columns are told apart for `select` alone: of
 * a map nobody knows which part of its code makes which column.
 */
export function dataShapeOf(
  derived: Derived,
  description: Description,
  shape: readonly LiveColumn[],
  lock: LockFile | undefined,
): DataShape {
  const owned = ownedOf(derived, shape);
  const { transform, version } = derived;
  const inputs = Object.fromEntries(derived.inputs.map((input) => [`input ${input.name}`, hashOf(inputShape(input))]));
  const common = {
    partitions: hashOf(shapeOf(derived.partitions)),
    key: hashOf(derived.key.map((column) => column.name)),
    functions: hashOf(description.functions),
    settings: hashOf(pins),
    ...inputs,
  };
  const { apart } = description;
  const columns = owned.map(({ name, type, collation }) => [
    name,
    hashOf([apart.columns[name] ?? null, type, collation]),
  ]);
  const provable = transform.kind === "select" && apart.rows !== null;
  return {
    transform: transform.kind,
    version,
    aspects: {
      ...common,
      statement: hashOf(description.sql),
      "the owned columns": hashOf(owned.map(({ name, type, collation }) => [name, type, collation])),
      "the columns of its inputs": hashOf(description.reads),
      ...(transform.kind === "map" ? { map: lock?.maps[derived.name] ?? "" } : {}),
    },
    rows: provable ? hashOf({ ...common, version, rows: apart.rows }) : null,
    columns: Object.fromEntries(columns) as Record<string, string>,
  };
}

/** By input handle, the columns that the statement reads; null where rows are read as a whole. */
export function readsOfInputs(
  derived: Derived,
  description: Description,
): ReadonlyMap<string, readonly string[] | null> {
  return new Map(
    derived.inputs.map(({ name }) => {
      if (description.apart.wholeRows) return [name, null];
      const read = description.reads.filter((column) => column.name.startsWith(`${name}.`));
      return [name, read.map((column) => column.name.slice(name.length + 1))];
    }),
  );
}

/**
 * SHA-256 as 64 hexadecimal digits. `shape` is the live table as `liveColumns` reads it, and `lock` has the
 * hashes of the code of maps.
 */
export function fingerprintOf(
  derived: Derived,
  description: Description,
  shape: readonly LiveColumn[],
  lock: LockFile | undefined,
): string {
  return hashOf({
    format,
    transform: derived.transform.kind,
    version: derived.version,
    sql: description.sql,
    reads: description.reads,
    functions: description.functions,
    map: derived.transform.kind === "map" ? (lock?.maps[derived.name] ?? null) : null,
    owned: ownedOf(derived, shape).map(({ name, type, collation }) => ({ name, type, collation })),
    key: derived.key.map((column) => column.name),
    partitions: shapeOf(derived.partitions),
    inputs: derived.inputs.map(inputShape),
    pins,
  });
}

/** The scheme of an input matters through the mapping: it decides which rows a partition reads. */
function inputShape({ name, dataset, mapping }: Input): Record<string, unknown> {
  return {
    name,
    dataset: dataset.name,
    mapping: shapeOfMapping(mapping),
    partitions: shapeOf(dataset.partitions),
  };
}
