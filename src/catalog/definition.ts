/**
 * The identity of a definition as it is written, in two parts, and the queue that its tasks go to.
 *
 * The data part decides what partitions come out as; the metadata part (what people read, and the checks) never causes
 * a recomputation. Both are kept under their hashes, so that a later plan can say what changed and not only that
 * something did.
 */
import { Column, is, Table } from "drizzle-orm";
import { getTableConfig, type PgTable } from "drizzle-orm/pg-core";
import { hashOf } from "../hash.ts";
import { shapeOfMapping } from "./mapping.ts";
import type { Dataset, Derived, Input } from "./model.ts";
import { shapeOf } from "./scheme.ts";

/** What stands behind a data fingerprint: hashes of its aspects, to be compared with those of another one. */
export interface DataShape {
  readonly transform: "select" | "map" | "fold";
  readonly version: number;
  /** What a person would call the parts (statement, partitions, key, …), each as a hash. */
  readonly aspects: Readonly<Record<string, string>>;
  /** Hash of all that decides which rows there are; null where rows and columns cannot be told apart. */
  readonly rows: string | null;
  /** For each owned column, the hash of its expression and type. */
  readonly columns: Readonly<Record<string, string>>;
}

/** The metadata part of a definition. */
export interface MetadataShape {
  readonly description: string | null;
  readonly owner: string | null;
  /** 0 none to 4 critical. */
  readonly criticality: number;
  /** Hash of what is said of its columns; absent where nothing is. */
  readonly columnDescriptions?: string;
  /** Hashes of the declared checks by name. */
  readonly checks: Readonly<Record<string, string>>;
}

/** Checks count by what they say, not by the objects that say it. */
export function metadataShape(derived: Derived, criticality: number): MetadataShape {
  return {
    description: derived.description ?? null,
    owner: derived.owner ?? null,
    criticality,
    ...(derived.columnDescriptions === undefined ? {} : { columnDescriptions: hashOf(derived.columnDescriptions) }),
    checks: Object.fromEntries(derived.checks.map((check) => [check.name, hashOf(plain(check))] as const)),
  };
}

/** A definition's value with columns, tables and datasets replaced by their names. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint" || typeof value === "function") return String(value);
  if (typeof value !== "object" || value === null) return value ?? null;
  if (is(value, Column)) return { table: tableName(value.table as PgTable), column: value.name };
  if (is(value, Table)) return { table: tableName(value as PgTable) };
  if (value instanceof Date) return value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if ("kind" in value && (value.kind === "source" || value.kind === "derived") && "name" in value) return value.name;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

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
  return tableName(dataset.table);
}

function tableName(table: PgTable): string {
  const { schema, name } = getTableConfig(table);
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
