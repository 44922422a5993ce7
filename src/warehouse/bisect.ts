/**
 * Where differences lie: how many each partition has, in which columns, and a few of the rows. Works on the restore point
 * that a comparison has filled, so it costs what differs and not what is there.
 */
import type { Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { asText } from "./compare.ts";
import { placeOf } from "./place.ts";
import { identifier, literal } from "./quote.ts";
import { bookkeeping } from "./restore.ts";
import { column, columnDiffers, columnsOf, type Target, within } from "./target.ts";

export type TextRow = Readonly<Record<string, string | null>>;

export interface PartitionDifference {
  readonly partition: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** In how many changed rows each column differs. */
  readonly columns: Readonly<Record<string, number>>;
}

/** A row as it is live and as the candidate has it. */
export interface RowPair {
  readonly kind: "added" | "removed" | "changed";
  readonly before: TextRow | null;
  readonly after: TextRow | null;
}

export interface DifferingRow extends RowPair {
  readonly partition: number;
  /** Columns that differ, where the row is on both sides. */
  readonly columns: readonly string[];
}

const { op, row } = bookkeeping;

/** Noted differences by partition, in order. A row that moved counts where it is live. `partitions` are all compared. */
export async function differencesByPartition(
  tx: Tx,
  target: Target,
  partitions: readonly number[],
): Promise<PartitionDifference[]> {
  if (partitions.length === 0) return [];
  const of = (condition: string) => `count(*) filter (where ${condition})::float8`;
  const is = (name: string) => `r.${op} = '${name}'`;
  const columns = target.owned.map((name) => of(`${is("update")} and ${columnDiffers(target, name, "r", "c")}`));
  const rows = await tx.query<PartitionDifference & { counts: number[] }>(
    `select ${placeOfNoted(target, partitions)} as partition, ${of(is("insert"))} as added, ${of(is("delete"))} as removed,
       ${of(is("update"))} as changed, array[${columns.join(", ")}] as counts
     from ${noted(target)} group by 1 order by 1`,
  );
  return rows.map(({ counts, ...counted }) => {
    const differing = target.owned.map((name, index) => [name, counts[index] ?? 0] as const);
    return { ...counted, columns: Object.fromEntries(differing.filter(([, count]) => count > 0)) };
  });
}

/** Rows of the candidate that came into these partitions from elsewhere, by partition. */
export async function movedInto(tx: Tx, target: Target, partitions: readonly number[]): Promise<Map<number, number>> {
  if (partitions.length === 0) return new Map();
  const ranges: Ranges = partitions.map((partition) => [partition, partition + 1]);
  const place = placeOf(target.derived.partitions, partitions, (name) => column("c", name));
  const rows = await tx.query<{ partition: number; rows: number }>(
    `select ${place} as partition, count(*)::float8 as rows
     from ${noted(target)} where r.${op} = 'update' and ${within(target, ranges, "c")} group by 1`,
  );
  return new Map(rows.map(({ partition, rows: count }) => [partition, count]));
}

/**
 * At most `limit` noted rows of the `wanted` partitions, by key: the first of each partition, then the second of each.
 * Rows become text only once they are chosen.
 */
export async function differingRows(
  tx: Tx,
  target: Target,
  partitions: readonly number[],
  { wanted, limit }: { readonly wanted: readonly number[]; readonly limit: number },
): Promise<DifferingRow[]> {
  if (wanted.length === 0) return [];
  const differing = target.owned.map(
    (name) => `case when ${columnDiffers(target, name, "r", "c")} then ${literal(name)} end`,
  );
  const order = `${literal(`{${wanted.join(",")}}`)}::float8[]`;
  return tx.query<DifferingRow>(
    `with placed as (
       select r.ctid as rederive_spot, ${placeOfNoted(target, partitions)} as rederive_place, ${columnsOf("r", target.key)}
       from ${noted(target)}
     ), ranked as (
       select rederive_spot, rederive_place, row_number() over (
         partition by rederive_place order by ${target.key.map(identifier).join(", ")}) as nth
       from placed where rederive_place = any (${order})
     ), chosen as (
       select * from ranked where nth <= ${limit} order by nth, array_position(${order}, rederive_place) limit ${limit}
     )
     select x.rederive_place as partition, ${kindOfNoted}, ${imagesOf(target)},
       case when r.${op} = 'update' then array_remove(array[${differing.join(", ")}], null) else '{}'::text[] end as columns
     from chosen x join ${target.restorePoint} r on r.ctid = x.rederive_spot
     left join ${target.candidate} c on c.ctid = r.${row}
     order by x.nth, array_position(${order}, x.rederive_place)`,
  );
}

/** The first rows by key that are new in a partition that had none, of which nothing is noted. */
export async function addedRows(tx: Tx, target: Target, partition: number, limit: number): Promise<DifferingRow[]> {
  const rows = await tx.query<{ after: TextRow }>(
    `select ${asText(target, "c")} as after from ${target.candidate} c
     where ${within(target, [[partition, partition + 1]], "c")} and ${appeared(target)}
     order by ${columnsOf("c", target.key)} limit ${limit}`,
  );
  return rows.map(({ after }) => ({ partition, kind: "added", before: null, after, columns: [] }));
}

/** What is noted (`r`) with the candidate's rows (`c`). */
export function noted(target: Target): string {
  return `${target.restorePoint} r left join ${target.candidate} c on c.ctid = r.${row}`;
}

/** A row of the candidate (`c`) that was not noted as one that moved. */
export function appeared(target: Target): string {
  return `not exists (select from ${target.restorePoint} r where r.${row} = c.ctid and r.${op} = 'update')`;
}

/** The columns `kind`, and `before` and `after`, of a noted row. */
export const kindOfNoted = `case r.${op} when 'insert' then 'added' when 'delete' then 'removed' else 'changed' end as kind`;

export function imagesOf(target: Target): string {
  return `case when r.${op} <> 'insert' then ${asText(target, "r")} end as before,
       case when r.${op} <> 'delete' then ${asText(target, "c")} end as after`;
}

/** Only the key of an inserted row is noted, so its partition is the candidate's. */
function placeOfNoted(target: Target, partitions: readonly number[]): string {
  return placeOf(
    target.derived.partitions,
    partitions,
    (name) => `case when r.${op} = 'insert' then ${column("c", name)} else ${column("r", name)} end`,
  );
}
