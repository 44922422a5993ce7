/**
 * Which fields of an answer hold data, and no names of datasets, tables or exposures: rows, columns, labels of partitions,
 * people, identifiers, and words of our own. They are told as they are, also where a value happens to be the name of
 * somebody's dataset. Every other text is looked through, so a field that is missing here is cut rather than told.
 */
export type Fields = Readonly<Record<string, unknown>>;

/** Rows, and numbers or rules by column or by setting. */
const rowFields: ReadonlySet<string> = new Set([
  ...["row", "before", "after", "key", "samples", "nulls", "distinct", "sums", "tolerance"],
  ...["columns", "added", "dropped", "changed", "pins", "guarantees"],
]);

/** A word, or a list of words. */
const wordFields: ReadonlySet<string> = new Set([
  // Columns, and checks where a list names them.
  ...["column", "ownedColumns", "narrowedBy", "checks"],
  // Labels of partitions, schedules and mappings.
  ...["partition", "partitions", "upTo", "every", "mapping"],
  // States.
  ...["state", "status", "verdict", "void", "live", "event", "scope", "criticality", "environment"],
  // Kinds of things.
  ...["kind", "category", "transform", "reach", "read", "how", "direction", "cause", "mode", "otherMode"],
  // What is wrong, and how bad it is.
  ...["code", "severity", "level", "sqlState"],
  // What is done or asked for.
  ...["act", "action", "useCase", "gate", "order", "onLaterWrites"],
  // People, and what they speak for.
  ...["actor", "requestedBy", "approver", "passedBy", "capturedBy", "decidedBy", "promotedBy", "by", "person"],
  ...["role", "needs", "has", "owner", "groups", "signOff", "workers"],
  // What things are known by.
  ...["backfill", "backfills", "continues", "adoptedFrom", "confirmedBy", "traceIds", "hash", "planHash", "basis"],
  ...["digest", "fingerprint", "fingerprints", "definition", "metadata", "contentHash", "outputHash", "hashAlgorithm"],
  ...["stamps", "server"],
  // What the owner of a visible thing wrote about it.
  ...["description", "assumptions"],
]);

/** Fields that hold data where one of these stands beside them, and names of datasets elsewhere. */
const dataBeside: ReadonlyMap<string, readonly string[]> = new Map([
  // Of a check, a column, an input, a baseline, a phase or a person.
  ["name", ["dataset", "severity", "faults", "gate", "role"]],
  // The handle of an input; beside a number of tasks it is a dataset.
  ["input", ["partitions", "column"]],
  // A code; elsewhere a dataset or a sentence.
  ["because", ["fingerprint"]],
  // The rows that break a check, or those of an input.
  ["rows", ["message", "input"]],
]);

/** Whether a field holds data, next to the others of the object that it is in. */
export function isData(key: string, value: unknown, parent: Fields): boolean {
  if (wordFields.has(key)) return isWords(value);
  if (key === "columns") return isFlat(value) && !isOfDatasets(value);
  // `{ from, to }` is a window of dates, or an edge between datasets; without an end it is a state, or where rows are from.
  if (key === "from") return isWords(value) && !("to" in parent);
  return (rowFields.has(key) || isBeside(key, parent)) && isFlat(value);
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function isBeside(key: string, parent: Fields): boolean {
  return dataBeside.get(key)?.some((other) => other in parent) === true;
}

/** The contract of an exposure, of which every column is one of a dataset. */
function isOfDatasets(value: unknown): boolean {
  return Array.isArray(value) && value.some((each) => isFields(each) && "dataset" in each);
}

function isWords(value: unknown): boolean {
  return Array.isArray(value) ? value.every(isPlain) : isPlain(value);
}

function isFlat(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((each) => isPlain(each) || isRow(each));
  return isPlain(value) || isRow(value);
}

function isRow(value: unknown): boolean {
  return isFields(value) && Object.values(value).every(isPlain);
}

function isPlain(value: unknown): boolean {
  return value === null || typeof value !== "object";
}
