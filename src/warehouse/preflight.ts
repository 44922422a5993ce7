/**
 * What the catalog of Postgres says about the tables that a promotion is going to write, and what in it a merge would
 * break. The facts are read before the transaction, so that a refusal costs no lock, and again inside it, when the
 * locks keep migrations out.
 */
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { declaredType, type LiveColumn, tableColumns } from "./columns.ts";
import { bookkeeping } from "./restore.ts";
import { columnsOf, differs, type Target } from "./target.ts";

export interface UniqueIndex {
  readonly name: string;
  /** Every column that it depends on, also those in its expressions and its condition. */
  readonly columns: readonly string[];
  /** On plain columns, without a condition, with nulls distinct: two rows clash exactly when these columns are equal. */
  readonly plain: boolean;
  /** Quoted name of its constraint where that is deferrable. */
  readonly deferrable: string | null;
  /** All of its columns are not null. */
  readonly notNull: boolean;
  readonly exclusion: boolean;
}

export interface InboundKey {
  readonly name: string;
  readonly table: string;
  /** Referenced columns of the target. */
  readonly columns: readonly string[];
  /** As in pg_constraint: a no action, r restrict, c cascade, n set null, d set default. */
  readonly onDelete: string;
  readonly onUpdate: string;
}

export interface TableFacts {
  readonly id: string;
  /** None where the candidate is gone. */
  readonly candidateColumns: readonly LiveColumn[];
  readonly uniqueIndexes: readonly UniqueIndex[];
  readonly inbound: readonly InboundKey[];
  /** Ids of the tables that this one's foreign keys reference. */
  readonly references: readonly string[];
  /** Enabled user triggers, also those of single partitions. */
  readonly triggers: readonly string[];
  readonly rowSecurity: boolean;
  readonly missingPrivileges: readonly string[];
}

/** The facts of each target, by dataset. */
export type Preflight = ReadonlyMap<string, TableFacts>;

/** Reads the facts of all targets. */
export async function readFacts(tx: Tx, targets: readonly Target[]): Promise<Preflight> {
  const facts = new Map<string, TableFacts>();
  for (const target of targets) facts.set(target.dataset, await tableFacts(tx, target));
  return facts;
}

/** What forbids a merge whatever the rows are; one sentence each, with what to do. */
export function structuralProblems(target: Target, facts: TableFacts): string[] {
  return [
    ...shapeProblems(target, facts),
    ...keyProblems(target, facts),
    ...triggerProblems(target, facts),
    ...accessProblems(target, facts),
  ];
}

/** The facts of all targets, none of which forbids a merge: all structural problems are told in one error. */
export async function readMergeable(tx: Tx, targets: readonly Target[]): Promise<Preflight> {
  const preflight = await readFacts(tx, targets);
  refuseIfAny(targets.flatMap((target) => structuralProblems(target, factsOf(preflight, target))));
  return preflight;
}

/** What forbids a merge because of the rows that it would touch. Reads the filled restore point. */
export async function rowProblems(
  tx: Tx,
  target: Target,
  facts: TableFacts,
  counts: { deletes: number; updates: number; rewrites: number },
): Promise<string[]> {
  const problems: string[] = [];
  for (const key of facts.inbound) {
    if (counts.deletes > 0 && isPropagating(key.onDelete)) {
      problems.push(
        `${target.dataset}: ${counts.deletes} rows would be deleted, and foreign key ${key.name} of ${key.table} would ` +
          `pass that on (${actions[key.onDelete]}); make it NO ACTION, or remove those rows yourself first`,
      );
    }
    if (counts.updates > 0 && isPropagating(key.onUpdate) && (await changesColumns(tx, target, key.columns))) {
      problems.push(
        `${target.dataset}: values that foreign key ${key.name} of ${key.table} references would change, and it would ` +
          `pass that on (${actions[key.onUpdate]}); make it NO ACTION on update`,
      );
    }
  }
  if (counts.rewrites > 0) problems.push(...rewriteProblems(target, facts, counts.rewrites));
  const withoutKey = counts.deletes === 0 ? 0 : await countWithoutKey(tx, target);
  if (withoutKey > 0) {
    problems.push(`${target.dataset}: ${withoutKey} live rows have a null in the key; give them one or delete them`);
  }
  return problems;
}

/** All problems in one error, or nothing. */
export function refuseIfAny(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const head =
    problems.length === 1 ? "the promotion is refused" : `the promotion is refused for ${problems.length} reasons`;
  throw new RederiveError("promote_refused", `${head}: ${problems.join("; ")}`, { details: { problems } });
}

/** Unique and exclusion indexes other than the key's in which updated rows could get into each other's way. */
export function secondaryIndexes(target: Target, facts: TableFacts): UniqueIndex[] {
  return facts.uniqueIndexes.filter((index) => {
    const hasKey = target.key.every((name) => index.columns.includes(name));
    return !(index.plain && hasKey) && index.columns.some((name) => target.owned.includes(name));
  });
}

/** Parents before the tables that reference them. A cycle keeps its members in the given order. */
export function inForeignKeyOrder(targets: readonly Target[], preflight: Preflight): Target[] {
  const ordered: Target[] = [];
  const visited = new Set<string>();
  const visit = (target: Target): void => {
    if (visited.has(target.dataset)) return;
    visited.add(target.dataset);
    const facts = factsOf(preflight, target);
    for (const parent of targets) {
      if (facts.references.includes(factsOf(preflight, parent).id)) visit(parent);
    }
    ordered.push(target);
  };
  for (const target of targets) visit(target);
  return ordered;
}

/** True where a table of the same promotion references this one. */
export function isReferencedWithin(target: Target, targets: readonly Target[], preflight: Preflight): boolean {
  const own = factsOf(preflight, target).id;
  return targets.some((other) => factsOf(preflight, other).references.includes(own));
}

export function factsOf(preflight: Preflight, target: Target): TableFacts {
  return preflight.get(target.dataset) as TableFacts;
}

const actions: Readonly<Record<string, string>> = { c: "CASCADE", n: "SET NULL", d: "SET DEFAULT" };

function isPropagating(action: string): boolean {
  return action in actions;
}

function shapeProblems(target: Target, facts: TableFacts): string[] {
  if (facts.candidateColumns.length === 0) {
    return [`${target.dataset}: the candidate ${target.candidate} is gone; plan and run the backfill again`];
  }
  const live = new Map(target.columns.map((column) => [column.name, declaredType(column)]));
  const candidate = new Map(facts.candidateColumns.map((column) => [column.name, declaredType(column)]));
  const changed = target.owned.filter((name) => live.get(name) !== candidate.get(name));
  const generated = target.owned.filter((name) => !target.stored.includes(name));
  return [
    ...changed.map(
      (name) =>
        `${target.dataset}: column ${name} of ${target.table} is ${live.get(name) ?? "missing"}, and was ` +
        `${candidate.get(name) ?? "missing"} when the backfill was planned; plan again`,
    ),
    ...generated.map(
      (name) => `${target.dataset}: column ${name} is generated by Postgres; take it out of the owned columns`,
    ),
  ];
}

function keyProblems(target: Target, facts: TableFacts): string[] {
  const isKey = (index: UniqueIndex) =>
    index.plain &&
    !index.exclusion &&
    index.columns.length === target.key.length &&
    target.key.every((name) => index.columns.includes(name));
  if (facts.uniqueIndexes.some(isKey)) return [];
  return [
    `${target.dataset}: no unique index on the key (${target.key.join(", ")}) of ${target.table}, so rows could not be told ` +
      `apart; create unique index concurrently on ${target.table} (${target.key.join(", ")})`,
  ];
}

function triggerProblems(target: Target, facts: TableFacts): string[] {
  const unknown = facts.triggers.filter((name) => !target.derived.allowTriggers.includes(name));
  return unknown.map(
    (name) =>
      `${target.dataset}: trigger ${name} on ${target.table} would fire for every row written; ` +
      "disable it, or declare it in allowTriggers",
  );
}

function accessProblems(target: Target, facts: TableFacts): string[] {
  const problems = facts.missingPrivileges.map(
    (privilege) => `${target.dataset}: this role lacks ${privilege} on ${target.table}; grant it`,
  );
  if (facts.rowSecurity) {
    problems.push(
      `${target.dataset}: row-level security of ${target.table} applies to this role; use the owner or a role with BYPASSRLS`,
    );
  }
  return problems;
}

function rewriteProblems(target: Target, facts: TableFacts, rewrites: number): string[] {
  const blockers = [
    ...facts.inbound.map((key) => `foreign key ${key.name} of ${key.table}`),
    ...facts.triggers.map((name) => `trigger ${name}`),
  ];
  if (blockers.length === 0) return [];
  return [
    `${target.dataset}: ${rewrites} rows take a unique value from another updated row, so they must be deleted and inserted ` +
      `again, which ${blockers.join(" and ")} would notice; make the unique constraint deferrable`,
  ];
}

async function changesColumns(tx: Tx, target: Target, names: readonly string[]): Promise<boolean> {
  const owned = names.filter((name) => target.owned.includes(name));
  const [row] = await tx.query<{ exists: boolean }>(
    `select exists (
       select from ${target.restorePoint} r join ${target.candidate} c on c.ctid = r.${bookkeeping.row}
       where r.${bookkeeping.op} = 'update' and ${differs(target, owned, "r", "c")}
     ) as exists`,
  );
  return row?.exists === true;
}

async function countWithoutKey(tx: Tx, target: Target): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::int as count from ${target.restorePoint} r
     where r.${bookkeeping.op} = 'delete' and num_nulls(${columnsOf("r", target.key)}) > 0`,
  );
  return row?.count ?? 0;
}

async function tableFacts(tx: Tx, target: Target): Promise<TableFacts> {
  const [row] = await tx.query<{ facts: Omit<TableFacts, "candidateColumns"> }>(factsQuery, [
    target.table,
    target.owned,
  ]);
  const { facts } = row as { facts: Omit<TableFacts, "candidateColumns"> };
  return { ...facts, candidateColumns: await tableColumns(tx, target.candidate) };
}

/** $1 the live table, $2 the owned columns. */
const factsQuery = `
with live as (select to_regclass($1::text) as id),
index_columns as (
  select i.indexrelid, a.attname::text as name, a.attnotnull
  from pg_catalog.pg_index i
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0
  where i.indrelid = (select id from live) and (i.indisunique or i.indisexclusion) and (
    a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])
    or exists (select from pg_catalog.pg_depend d where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
               and d.refclassid = 'pg_class'::regclass and d.refobjid = i.indrelid and d.refobjsubid = a.attnum
               and (i.indexprs is not null or i.indpred is not null)))
)
select json_build_object(
  'id', (select id::oid::text from live),
  'uniqueIndexes', coalesce((select json_agg(json_build_object(
      'name', i.indexrelid::regclass::text,
      'columns', coalesce((select json_agg(c.name order by c.name) from index_columns c where c.indexrelid = i.indexrelid), '[]'),
      'plain', i.indisunique and i.indexprs is null and i.indpred is null
        and coalesce(not (to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, true),
      'deferrable', (select format('%I.%I', n.nspname, k.conname) from pg_catalog.pg_constraint k
        join pg_catalog.pg_namespace n on n.oid = k.connamespace where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x') and k.condeferrable),
      'notNull', (select bool_and(c.attnotnull) from index_columns c where c.indexrelid = i.indexrelid),
      'exclusion', i.indisexclusion) order by i.indexrelid)
    from pg_catalog.pg_index i
    where i.indrelid = (select id from live) and (i.indisunique or i.indisexclusion) and i.indisvalid), '[]'),
  'inbound', coalesce((select json_agg(json_build_object(
      'name', k.conname, 'table', k.conrelid::regclass::text,
      'columns', (select json_agg(a.attname order by a.attname) from pg_catalog.pg_attribute a
                  where a.attrelid = k.confrelid and a.attnum = any(k.confkey)),
      'onDelete', k.confdeltype, 'onUpdate', k.confupdtype) order by k.oid)
    from pg_catalog.pg_constraint k
    where k.contype = 'f' and k.confrelid = (select id from live) and k.conparentid = 0), '[]'),
  'references', coalesce((select json_agg(distinct k.confrelid::oid::text)
    from pg_catalog.pg_constraint k where k.contype = 'f' and k.conrelid = (select id from live)), '[]'),
  'triggers', coalesce((select json_agg(distinct t.tgname::text) from pg_catalog.pg_trigger t
    where not t.tgisinternal and t.tgenabled in ('O', 'A') and (t.tgrelid = (select id from live)
      or t.tgrelid in (select relid from pg_partition_tree((select id from live))))), '[]'),
  'rowSecurity', row_security_active((select id::oid from live)),
  'missingPrivileges', coalesce((select json_agg(p.name) from (values
      ('SELECT', has_table_privilege((select id::oid from live), 'select')),
      ('DELETE', has_table_privilege((select id::oid from live), 'delete')),
      ('INSERT', (select bool_and(has_column_privilege((select id::oid from live), o, 'insert')) from unnest($2::text[]) o)),
      ('UPDATE', (select bool_and(has_column_privilege((select id::oid from live), o, 'update')) from unnest($2::text[]) o))
    ) as p (name, granted) where not p.granted), '[]')
) as facts`;
