/**
 * The data fingerprint of a derived dataset: everything of its own that decides what a partition comes out as.
 *
 * Parents are not in it; they enter by content. Neither are checks, descriptions, owners and limits: a change of those
 * recomputes nothing.
 */
import type { Derived, Input } from "../catalog/dataset.ts";
import type { LockFile } from "../catalog/definition.ts";
import { shapeOfMapping } from "../catalog/mapping.ts";
import { shapeOf } from "../catalog/scheme.ts";
import { hashOf } from "../hash.ts";
import { type LiveColumn, ownedOf } from "./columns.ts";
import type { Description } from "./describe.ts";
import { pins } from "./session.ts";

/** Raise it when the meaning of a field below changes; every dataset is then recomputed. */
const format = 1;

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
