/**
 * Finding the rows in which a candidate differs from its live table.
 *
 * 1. Partitions are grouped with their neighbours into groups of some 150,000 rows: joins that stay in memory, over
 *    predicates that an index serves. Both sides are restricted, or Postgres would read the whole live table each time.
 * 2. Each group is one full outer join by key; only rows that differ leave it, into the restore point. A group without
 *    any live row is kept as a range alone: a bootstrap would otherwise write everything twice.
 * 3. A row that moved from one group to another was found as a delete and an insert; it becomes an update.
 *
 * Figures behind these choices are in docs/decisions/0006-diff-merge-promotion.md.
 */
import { type Ranges, rangesOf, union } from "../catalog/ranges.ts";
import type { DatasetDiff } from "../report.ts";
import type { Tx } from "../tx.ts";
import { analyzeTable } from "./candidate.ts";
import { isExact } from "./digest.ts";
import { identifier } from "./quote.ts";
import { bookkeeping } from "./restore.ts";
import { column, columnDiffers, columnsOf, differs, sameKey, type Target, within } from "./target.ts";

/** One computed partition and how many rows its candidate has. */
export interface PartitionRows {
  readonly partition: number;
  readonly rows: number;
}

export interface Differences {
  /** Rows noted in the restore point, by what is to be done to them. */
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  /** Groups without any live row; everything in their candidate is to be inserted, save what moved there. */
  readonly wasEmpty: Ranges;
  /** The same as the groups in which they were looked at, each small enough to be compared in memory. */
  readonly emptyGroups: readonly Ranges[];
  /** Updates whose new place is in a range that was empty. */
  readonly movedIntoEmpty: number;
}

const groupRows = 150_000;
/** More ranges make the predicate slower than what a larger group saves. */
const groupRanges = 8;

/** Neighbouring partitions together, in order. A scheme whose predicate no index serves is one group. */
export function groupPartitions(target: Target, partitions: readonly PartitionRows[]): Ranges[] {
  const kind = target.derived.partitions.kind;
  const all = partitions.map(({ partition }) => [partition, partition + 1] as const);
  if (all.length === 0) return [];
  if (kind === "hash" || kind === "list" || kind === "whole") return [rangesOf(all)];
  const groups: Ranges[] = [];
  let open: { ranges: Ranges; rows: number } = { ranges: [], rows: 0 };
  for (const { partition, rows } of partitions) {
    const ranges = union(open.ranges, [[partition, partition + 1]]);
    const full = open.rows + rows > groupRows || ranges.length > groupRanges;
    if (full && open.ranges.length > 0) groups.push(open.ranges);
    open = full ? { ranges: [[partition, partition + 1]], rows } : { ranges, rows: open.rows + rows };
  }
  return [...groups, open.ranges];
}

/** Notes every row that differs in the restore point, with its before-image, and says how many there are. */
export async function findDifferences(
  tx: Tx,
  target: Target,
  partitions: readonly PartitionRows[],
): Promise<Differences> {
  const groups = groupPartitions(target, partitions);
  const empty: Ranges[] = [];
  for (const group of groups) {
    if (await hasLiveRows(tx, target, group)) await noteDifferences(tx, target, group);
    else empty.push(group);
  }
  await analyzeTable(tx, target.restorePoint);
  const wasEmpty = union(...empty);
  if (groups.length > 1) await joinMoves(tx, target);
  const movedIntoEmpty = wasEmpty.length === 0 ? 0 : await joinMovesIntoEmpty(tx, target, wasEmpty);
  return { ...(await countNoted(tx, target)), wasEmpty, emptyGroups: empty, movedIntoEmpty };
}

/** Rows of the candidate in these partitions. */
export async function countCandidate(tx: Tx, target: Target, partitions: Ranges): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::float8 as count from ${target.candidate} c where ${within(target, partitions, "c")}`,
  );
  return row?.count ?? 0;
}

/** How many rows of these partitions differ between live and candidate, and how many the candidate has. */
export async function countMismatches(
  tx: Tx,
  target: Target,
  partitions: Ranges,
): Promise<{ rows: number; mismatches: number }> {
  const [row] = await tx.query<{ rows: number; mismatches: number }>(
    `select count(c.${bookkeeping.row})::float8 as rows, count(*) filter (where ${anyDifference(target)})::float8 as mismatches
     from ${joined(target, partitions, target.owned)}`,
  );
  return row ?? { rows: 0, mismatches: 0 };
}

/** Counts and samples of what was found, for people. */
export async function describeDifferences(
  tx: Tx,
  target: Target,
  found: Differences,
  options: { rows: number; samples: number },
): Promise<DatasetDiff> {
  const intoEmpty = (await countIfAny(tx, target, found.wasEmpty)) - found.movedIntoEmpty;
  const added = found.inserts + intoEmpty;
  return {
    dataset: target.dataset,
    added,
    removed: found.deletes,
    changed: found.updates,
    unchanged: options.rows - added - found.updates,
    columns: await countColumns(tx, target),
    samples: await readSamples(tx, target, found, options.samples),
  };
}

async function countIfAny(tx: Tx, target: Target, partitions: Ranges): Promise<number> {
  return partitions.length === 0 ? 0 : countCandidate(tx, target, partitions);
}

async function hasLiveRows(tx: Tx, target: Target, partitions: Ranges): Promise<boolean> {
  const [row] = await tx.query<{ exists: boolean }>(
    `select exists (select from ${target.table} l where ${within(target, partitions, "l")}) as exists`,
  );
  return row?.exists === true;
}

async function noteDifferences(tx: Tx, target: Target, group: Ranges): Promise<void> {
  const images = target.stored.map((name) =>
    target.key.includes(name) ? `coalesce(${column("l", name)}, ${column("c", name)})` : column("l", name),
  );
  await tx.query(
    `insert into ${target.restorePoint} (${bookkeeping.op}, ${bookkeeping.group}, ${bookkeeping.row},
       ${target.stored.map(identifier).join(", ")})
     select case when ${isAbsent(target, "l")} then 'insert' when ${isAbsent(target, "c")} then 'delete' else 'update' end,
       ${firstOf(group)}, c.${bookkeeping.row}, ${images.join(", ")}
     from ${joined(target, group, target.stored)}
     where ${anyDifference(target)}`,
  );
}

/** Live rows `l` and candidate rows `c` of these partitions, side by side by key; where one is missing, all of it is null. */
function joined(target: Target, partitions: Ranges, liveNames: readonly string[]): string {
  return `(select l.ctid as ${bookkeeping.row}, ${columnsOf("l", liveNames)}
       from ${target.table} l where ${within(target, partitions, "l")}) l
     full join (select c.ctid as ${bookkeeping.row}, ${columnsOf("c", target.owned)}
       from ${target.candidate} c where ${within(target, partitions, "c")}) c
     on ${sameKey(target, "l", "c")}`;
}

function anyDifference(target: Target): string {
  return `(${isAbsent(target, "l")} or ${isAbsent(target, "c")} or ${differs(target, compared(target), "l", "c")})`;
}

/**
 * No row on this side. A key column that cannot be null says so faster than the row's place, which nothing else needs of
 * a live row (1.2 µs instead of 1.6 µs a row).
 */
function isAbsent(target: Target, alias: "l" | "c"): string {
  const sure = target.key.find((name) => target.columns.some((live) => live.name === name && live.notNull));
  return `${alias}.${sure === undefined ? bookkeeping.row : identifier(sure)} is null`;
}

/** Rows were joined by key, so a key column is compared again only where equal values may be written in two ways. */
function compared(target: Target): string[] {
  const settled = (name: string) =>
    target.key.includes(name) && target.columns.some((live) => live.name === name && isExact(live.type));
  return target.owned.filter((name) => !settled(name));
}

/** A delete in one group and an insert of the same key in another are one update. */
async function joinMoves(tx: Tx, target: Target): Promise<void> {
  await tx.query(
    `with moved as (
       delete from ${target.restorePoint} i using ${target.restorePoint} d
       where i.${bookkeeping.op} = 'insert' and d.${bookkeeping.op} = 'delete' and ${sameKey(target, "i", "d")}
       returning i.${bookkeeping.row} as new_row, ${columnsOf("i", target.key)}
     )
     update ${target.restorePoint} d set ${bookkeeping.op} = 'update', ${bookkeeping.row} = m.new_row
     from moved m where d.${bookkeeping.op} = 'delete' and ${sameKey(target, "d", "m")}`,
  );
}

/** The same where the new place is in a range for which no row was noted. */
async function joinMovesIntoEmpty(tx: Tx, target: Target, wasEmpty: Ranges): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `with moved as (
       update ${target.restorePoint} d set ${bookkeeping.op} = 'update', ${bookkeeping.row} = c.ctid
       from ${target.candidate} c
       where d.${bookkeeping.op} = 'delete' and ${sameKey(target, "d", "c")} and ${within(target, wasEmpty, "c")}
       returning 1
     )
     select count(*)::float8 as count from moved`,
  );
  return row?.count ?? 0;
}

async function countNoted(tx: Tx, target: Target): Promise<Pick<Differences, "inserts" | "updates" | "deletes">> {
  const of = (op: string) => `count(*) filter (where ${bookkeeping.op} = '${op}')::float8`;
  const [row] = await tx.query<Pick<Differences, "inserts" | "updates" | "deletes">>(
    `select ${of("insert")} as inserts, ${of("update")} as updates, ${of("delete")} as deletes from ${target.restorePoint}`,
  );
  return row ?? { inserts: 0, updates: 0, deletes: 0 };
}

/** In how many updates each owned column differs; columns that never differ are left out. */
async function countColumns(tx: Tx, target: Target): Promise<Record<string, number>> {
  const counts = target.owned.map((name) => `count(*) filter (where ${columnDiffers(target, name, "r", "c")})::float8`);
  const [row] = await tx.query<{ counts: number[] }>(
    `select array[${counts.join(", ")}] as counts from ${target.restorePoint} r
     join ${target.candidate} c on c.ctid = r.${bookkeeping.row} where r.${bookkeeping.op} = 'update'`,
  );
  const found = target.owned.map((name, index) => [name, row?.counts[index] ?? 0] as const);
  return Object.fromEntries(found.filter(([, count]) => count > 0));
}

async function readSamples(tx: Tx, target: Target, found: Differences, limit: number): Promise<DatasetDiff["samples"]> {
  const samples = await tx.query<DatasetDiff["samples"][number]>(
    ["insert", "delete", "update"].map((op) => notedSample(target, op, limit)).join(" union all "),
  );
  const missing = limit - samples.filter((sample) => sample.kind === "added").length;
  if (missing <= 0 || found.wasEmpty.length === 0) return samples;
  const more = await tx.query<DatasetDiff["samples"][number]>(
    `select 'added' as kind, null::json as before, ${asText(target, "c")} as after
     from ${target.candidate} c where ${within(target, found.wasEmpty, "c")} limit ${missing}`,
  );
  return [...more, ...samples];
}

const kinds: Readonly<Record<string, string>> = { insert: "added", delete: "removed", update: "changed" };

function notedSample(target: Target, op: string, limit: number): string {
  return `(select '${kinds[op]}' as kind, ${op === "insert" ? "null::json" : asText(target, "r")} as before,
       ${op === "delete" ? "null::json" : asText(target, "c")} as after
     from (select * from ${target.restorePoint} r where r.${bookkeeping.op} = '${op}'
           order by ${columnsOf("r", target.key)} limit ${limit}) r
     left join ${target.candidate} c on c.ctid = r.${bookkeeping.row})`;
}

/** The owned columns of a row as a json object of texts: no value goes through a JavaScript number. */
export function asText(target: Target, alias: string): string {
  return rowAsText(alias, target.owned);
}

export function rowAsText(alias: string, columns: readonly string[]): string {
  const names = columns.map((name) => `'${name.replaceAll("'", "''")}'`).join(", ");
  const values = columns.map((name) => `${column(alias, name)}::text`).join(", ");
  return `json_object(array[${names}]::text[], array[${values}]::text[])`;
}

function firstOf(group: Ranges): number {
  return group[0]?.[0] ?? 0;
}
