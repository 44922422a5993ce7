/**
 * The constraints of a live table that the candidate must satisfy before it can be merged, read from pg_catalog, and the
 * queries that look for violations over a whole dataset: the candidate together with the live rows that stay.
 */
import type { PgTable } from "drizzle-orm/pg-core";
import type { Derived } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { predicateOf } from "./predicate.ts";
import { identifier, identifiers, tableName } from "./quote.ts";

export interface CheckConstraint {
  readonly name: string;
  /** SQL over the table's columns by their bare names; violated where it is false. */
  readonly expression: string;
  readonly columns: readonly string[];
}

export interface UniqueIndex {
  readonly name: string;
  /** What must be unique together: quoted column names or expressions over bare column names. */
  readonly expressions: readonly string[];
  /** All columns that the index mentions, by name. */
  readonly columns: readonly string[];
  /** The condition of a partial index, else null. */
  readonly predicate: string | null;
  readonly nullsDistinct: boolean;
  /** True where the expressions are columns and there is no condition. */
  readonly plain: boolean;
}

export interface ForeignKey {
  readonly name: string;
  readonly columns: readonly string[];
  /** Quoted, qualified. */
  readonly referenced: string;
  readonly referencedColumns: readonly string[];
  /** MATCH FULL: either all of the columns are null or none. */
  readonly full: boolean;
}

export interface LiveConstraints {
  readonly checks: readonly CheckConstraint[];
  readonly uniques: readonly UniqueIndex[];
  readonly foreignKeys: readonly ForeignKey[];
}

/** A dataset that a backfill recomputes: what its content will be after promotion. */
export interface Recomputed {
  readonly derived: Derived;
  /** Quoted, qualified. */
  readonly candidate: string;
  readonly partitions: Ranges;
  /** The candidate stands for all of the dataset, so that no live row stays. For looking at live content by itself. */
  readonly everything?: boolean;
}

/** Checks, unique indexes and outgoing foreign keys of the live table. Exclusion constraints are left to the merge. */
export async function liveConstraints(tx: Tx, derived: Derived): Promise<LiveConstraints> {
  const table = tableName(derived.table);
  return {
    checks: await checkConstraints(tx, table),
    uniques: await uniqueIndexes(tx, table),
    foreignKeys: await foreignKeys(tx, table),
  };
}

function checkConstraints(tx: Tx, table: string): Promise<CheckConstraint[]> {
  return tx.query<CheckConstraint>(
    `select c.conname as name,
            pg_get_expr(c.conbin, c.conrelid) as expression,
            array(select a.attname::text from pg_attribute a
                   where a.attrelid = c.conrelid and a.attnum = any (c.conkey) order by a.attnum) as columns
       from pg_constraint c
      where c.conrelid = to_regclass($1::text) and c.contype = 'c'
        -- A column of newer versions: a constraint that is declared and not enforced binds nobody.
        and coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
      order by c.conname`,
    [table],
  );
}

function uniqueIndexes(tx: Tx, table: string): Promise<UniqueIndex[]> {
  return tx.query<UniqueIndex>(
    `select i.relname as name,
            array(select pg_get_indexdef(x.indexrelid, k, true)
                    from generate_series(1, x.indnkeyatts) as k order by k) as expressions,
            -- Columns of the key by position, and those inside expressions and conditions by dependency.
            array(select a.attname::text from pg_attribute a
                   where a.attrelid = x.indrelid and a.attnum > 0
                     and (a.attnum = any ((x.indkey::int2[])[0:x.indnkeyatts - 1]) or exists (
                       select from pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = x.indexrelid
                          and d.refclassid = 'pg_class'::regclass and d.refobjid = x.indrelid
                          and d.refobjsubid = a.attnum
                          and not a.attnum = any ((x.indkey::int2[])[x.indnkeyatts:])))
                   order by a.attnum) as columns,
            pg_get_expr(x.indpred, x.indrelid) as predicate,
            coalesce(to_jsonb(x) ->> 'indnullsnotdistinct', 'false') = 'false' as "nullsDistinct",
            x.indpred is null and x.indexprs is null as plain
       from pg_index x
       join pg_class i on i.oid = x.indexrelid
      where x.indrelid = to_regclass($1::text) and x.indisunique and x.indislive
      order by i.relname`,
    [table],
  );
}

function foreignKeys(tx: Tx, table: string): Promise<ForeignKey[]> {
  return tx.query<ForeignKey>(
    `select c.conname as name,
            array(select a.attname::text from unnest(c.conkey) with ordinality as k (attnum, position)
                    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum
                   order by k.position) as columns,
            '"' || replace(n.nspname, '"', '""') || '"."' || replace(r.relname, '"', '""') || '"' as referenced,
            array(select a.attname::text from unnest(c.confkey) with ordinality as k (attnum, position)
                    join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.attnum
                   order by k.position) as "referencedColumns",
            c.confmatchtype = 'f' as "full"
       from pg_constraint c
       join pg_class r on r.oid = c.confrelid
       join pg_namespace n on n.oid = r.relnamespace
      where c.conrelid = to_regclass($1::text) and c.contype = 'f' and c.conparentid = 0
      order by c.conname`,
    [table],
  );
}

/** A column as `pg_get_indexdef` prints it; anything else is an expression and needs a name. */
const columnPattern = /^("([^"]|"")+"|[a-z_][a-z0-9_$]*)$/;

/** Values that would be in the dataset twice after promotion, at least once among the recomputed rows. */
export function repeatedAfterPromotion(recomputed: Recomputed, index: Omit<UniqueIndex, "name" | "columns">): string {
  const names = index.expressions.map((expression, position) =>
    columnPattern.test(expression) ? expression : `k${position + 1}`,
  );
  const list = index.expressions.map((expression, position) => `${expression} as ${names[position]}`).join(", ");
  const conditions = [
    ...(index.predicate === null ? [] : [`(${index.predicate})`]),
    ...(index.nullsDistinct ? index.expressions.map((expression) => `(${expression}) is not null`) : []),
  ];
  const rows = (table: string, extra: readonly string[]) =>
    `select ${list} from ${table}${[...conditions, ...extra].map((each, at) => `${at === 0 ? " where" : " and"} ${each}`).join("")}`;
  const equal = index.nullsDistinct ? "=" : "is not distinct from";
  return `with mine as not materialized (${rows(recomputed.candidate, [])}),
    others as not materialized (${rows(tableName(recomputed.derived.table), [staying(recomputed)])})
  select ${names.join(", ")}, count(*) as repeats from mine group by ${names.join(", ")} having count(*) > 1
  union all
  select ${names.map((name) => `mine.${name}`).join(", ")}, 2 from mine
    join others on ${names.map((name) => `mine.${name} ${equal} others.${name}`).join(" and ")}`;
}

/**
 * Rows that would refer to nothing after promotion. `target` is the referenced dataset where this backfill recomputes it
 * too; then the live rows that stay are looked at as well, because what they refer to may go.
 */
export function danglingAfterPromotion(
  recomputed: Recomputed,
  key: ForeignKey,
  target: Recomputed | undefined,
): string {
  const columns = identifiers(key.columns);
  const own = `select ${columns} from ${recomputed.candidate}`;
  const live = `select ${columns} from ${tableName(recomputed.derived.table)} where ${staying(recomputed)}`;
  const referenced = target
    ? [
        { table: target.candidate, condition: "true" },
        { table: key.referenced, condition: staying(target, "there") },
      ]
    : [{ table: key.referenced, condition: "true" }];
  const match = key.columns
    .map((column, at) => `there.${identifier(key.referencedColumns[at] as string)} = here.${identifier(column)}`)
    .join(" and ");
  const missing = referenced
    .map(({ table, condition }) => `not exists (select from ${table} as there where ${match} and ${condition})`)
    .join(" and ");
  const nulls = `num_nulls(${key.columns.map((column) => `here.${identifier(column)}`).join(", ")})`;
  const mixed = key.full ? ` or ${nulls} between 1 and ${key.columns.length - 1}` : "";
  return `select ${columns} from (${target ? `${own} union all ${live}` : own}) as here
    where (${nulls} = 0 and ${missing})${mixed}`;
}

/** These columns of every row that the dataset will have. */
export function rowsAfterPromotion(recomputed: Recomputed, columns: readonly string[]): string {
  const names = identifiers(columns);
  return `select ${names} from ${recomputed.candidate}
    union all select ${names} from ${tableName(recomputed.derived.table)} where ${staying(recomputed)}`;
}

/** The dataset that a foreign key refers to, where it is recomputed and owns the columns that are referred to. */
export function targetOf(key: ForeignKey, parts: readonly Recomputed[]): Recomputed | undefined {
  return parts.find(
    ({ derived }) =>
      tableName(derived.table as PgTable) === key.referenced &&
      key.referencedColumns.every((name) => derived.owned.some((column) => column.name === name)),
  );
}

/** Live rows that a promotion leaves as they are: all outside of the recomputed partitions. */
function staying({ derived, partitions, everything }: Recomputed, alias?: string): string {
  if (everything === true) return "false";
  return `(${predicateOf(derived.partitions, partitions, alias)}) is not true`;
}
