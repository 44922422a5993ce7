/** The identity of a definition as it is written, and the queue that its tasks go to. */
import { getTableConfig } from "drizzle-orm/pg-core";
import { hashOf } from "../hash.ts";
import { shapeOfMapping } from "./mapping.ts";
import type { Dataset, Derived, Input } from "./model.ts";
import { shapeOf } from "./scheme.ts";

/** Hashes of `map` functions by dataset, as built from the module that defines them: the content of rederive.lock.json. */
export interface LockFile {
  readonly maps: Readonly<Record<string, string>>;
}

/**
 * SHA-256 of all that decides about a dataset's data: version, statement, columns, key, partitions, inputs, mappings, and
 * for `map` the lock file's hash of the function. Checks, limits and descriptions do not enter. Workers refuse a task
 * whose definition is not theirs.
 */
export function definitionOf(derived: Derived, lock?: LockFile): string {
  return hashOf({
    version: derived.version,
    table: tableOf(derived),
    key: derived.key.map((column) => column.name),
    owned: derived.owned.map((column) => column.name),
    partitions: shapeOf(derived.partitions),
    inputs: derived.inputs.map(inputShape),
    transform: transformShape(derived, lock),
  });
}

function transformShape(derived: Derived, lock: LockFile | undefined): Record<string, unknown> {
  const { transform } = derived;
  if (transform.kind === "select") {
    return { kind: transform.kind, statement: transform.statement, columns: transform.columns ?? null };
  }
  const fields = transform.fields.map((field) => field.name);
  return { kind: transform.kind, statement: transform.statement, fields, map: lock?.maps[derived.name] ?? null };
}

function inputShape(input: Input): Record<string, unknown> {
  return {
    name: input.name,
    table: tableOf(input.dataset),
    partitions: shapeOf(input.dataset.partitions),
    mapping: shapeOfMapping(input.mapping),
  };
}

function tableOf(dataset: Dataset): string {
  const { schema, name } = getTableConfig(dataset.table);
  return `${schema ?? "public"}.${name}`;
}

/**
 * The queue of a dataset's tasks: `backfill`, or one of its own for a limited resource, which is a shared one or the
 * dataset itself.
 */
export function queueOf(dataset: Derived): "backfill" | `resource-${string}` {
  const resource = resourceOf(dataset);
  return resource === undefined ? "backfill" : `resource-${resource}`;
}

/** The resource whose limits hold for a dataset: a shared one, its own name where it has limits, or undefined. */
export function resourceOf(dataset: Derived): string | undefined {
  return dataset.resource ?? (dataset.limits === undefined ? undefined : dataset.name);
}
