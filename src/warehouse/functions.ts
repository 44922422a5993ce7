/**
 * Which functions a transform may use: a partition computed twice must come out the same.
 *
 * Volatile functions are refused. So are stable ones that tell the time or tell about the session or the server; other
 * stable functions are fine, because the settings they depend on are pinned. A function of the user's own is opaque:
 * it must be declared, and its source enters the fingerprint.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Tx } from "../tx.ts";

/** A function as the fingerprint sees it. */
export interface FunctionSource {
  /** `schema.name(arguments)`. */
  readonly name: string;
  readonly source: string;
}

interface FoundFunction {
  readonly schema: string;
  readonly name: string;
  readonly arguments: string;
  readonly argumentCount: number;
  readonly volatility: "i" | "s" | "v";
  /** Name and version of the extension that it came with. */
  readonly extension: string | null;
  readonly source: string;
  /** False for the parts of an aggregate, which come with it. */
  readonly direct: boolean;
}

const clockFunctions = new Set([
  "now",
  "transaction_timestamp",
  "statement_timestamp",
  "clock_timestamp",
  "timeofday",
  "pg_postmaster_start_time",
  "pg_conf_load_time",
  "pg_timezone_names",
]);

const sessionFunctions = new Set([
  "current_setting",
  "current_user",
  "session_user",
  "system_user",
  "current_database",
  "current_catalog",
  "current_schema",
  "current_schemas",
  "current_query",
  "getpgusername",
  "pg_backend_pid",
  "pg_my_temp_schema",
  "pg_is_other_temp_schema",
  "pg_current_xact_id",
  "pg_current_xact_id_if_assigned",
  "pg_current_snapshot",
  "pg_xact_status",
  "txid_current",
  "txid_current_if_assigned",
  "txid_current_snapshot",
  "txid_status",
  "inet_client_addr",
  "inet_client_port",
  "inet_server_addr",
  "inet_server_port",
  "version",
  "pg_is_in_recovery",
  "row_security_active",
  "pg_has_role",
  "pg_trigger_depth",
  "pg_column_compression",
  "pg_column_size",
  "pg_column_toast_chunk_id",
  "pg_client_encoding",
  "getdatabaseencoding",
  "get_current_ts_config",
  "pg_show_all_settings",
  "pg_cursor",
  "pg_prepared_statement",
  "pg_listening_channels",
  "pg_config",
  "pg_numa_available",
  "mxid_age",
]);

/** They take the text search configuration of the session where none is given. */
const textSearch = /^((to|plainto|phraseto|websearch_to)_ts(vector|query)|jsonb?_to_tsvector|ts_headline)$/;

/** Functions that read whatever their arguments name, past the declared inputs. */
const hiddenReads =
  /^(table|schema|database|query|cursor)_to_xml|^pg_stat_get_|^has_\w+_privilege$|^pg_ls_|^pg_read_|^(obj|col|shobj)_description$|^pg_(get|describe|identify|relation|filenode|available|tablespace|sequence)_/;

/** The sources of the user's own functions behind these oids, and what is wrong with any of them, one sentence each. */
export async function judgeFunctions(
  tx: Tx,
  derived: Derived,
  ids: readonly number[],
): Promise<{ sources: FunctionSource[]; faults: string[] }> {
  const found = await findFunctions(tx, ids);
  const faults = found.flatMap((candidate) => faultOf(candidate, derived) ?? []);
  const sources = found
    .filter((candidate) => !isBuiltIn(candidate))
    .map((candidate) => ({ name: signatureOf(candidate), source: candidate.extension ?? candidate.source }));
  return { sources, faults };
}

/** The volatile ones among these oids, one sentence each: they may give another answer each time, or do something. */
export async function volatileFaults(tx: Tx, ids: readonly number[]): Promise<string[]> {
  const found = await findFunctions(tx, ids);
  return found.filter(({ volatility }) => volatility === "v").map((each) => `${callOf(each)} ${volatileFault}`);
}

async function findFunctions(tx: Tx, ids: readonly number[]): Promise<FoundFunction[]> {
  return tx.query<FoundFunction>(
    `with direct as (select unnest($1::text[])::oid as id),
          part as (
            select unnest(array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                                a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) as id
            from pg_catalog.pg_aggregate a join direct d on d.id = a.aggfnoid::oid
          ),
          used as (select id, true as direct from direct union all
                   select distinct id, false from part where id <> 0 and id not in (select id from direct))
     select n.nspname::text as schema, p.proname::text as name, p.pronargs::int as "argumentCount",
            pg_catalog.pg_get_function_identity_arguments(p.oid) as arguments,
            p.provolatile::text as volatility, used.direct,
            (select e.extname || ' ' || e.extversion
               from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
              where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
                and d.refclassid = 'pg_catalog.pg_extension'::regclass limit 1) as extension,
            concat_ws(' ', l.lanname, p.provolatile, p.proisstrict, p.proretset, p.proconfig::text, p.probin,
                      coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc), g.aggkind, g.agginitval,
                      g.aggtransfn::oid::regprocedure::text) as source
       from used
       join pg_catalog.pg_proc p on p.oid = used.id
       join pg_catalog.pg_namespace n on n.oid = p.pronamespace
       join pg_catalog.pg_language l on l.oid = p.prolang
       left join pg_catalog.pg_aggregate g on g.aggfnoid::oid = p.oid
      order by n.nspname, p.proname, arguments`,
    [ids.map(String)],
  );
}

function faultOf(found: FoundFunction, derived: Derived): string | undefined {
  const call = callOf(found);
  if (isBuiltIn(found)) {
    if (clockFunctions.has(found.name)) return `${call} ${clockFault}`;
    if (found.name === "age" && found.argumentCount === 1) {
      return `age() with one argument ${clockFault}`;
    }
    if (sessionFunctions.has(found.name)) return `${call} ${sessionFault}`;
    if (textSearch.test(found.name) && !found.arguments.startsWith("regconfig")) {
      return `${call} takes its configuration from the session; name it first: ${found.name}('english', …)`;
    }
    if (hiddenReads.test(found.name)) return `${call} reads more than the inputs; declare what it reads as an input`;
  }
  if (found.volatility === "v") return `${call} ${volatileFault}`;
  if (isBuiltIn(found) || found.extension !== null || !found.direct || isDeclared(found, derived)) return undefined;
  return `${call} is a function of your own, which may read or do anything; if its result depends on its arguments alone, declare it: functions: ["${found.schema}.${found.name}"]`;
}

const volatileFault =
  "is volatile: the same rows would not give the same result again; leave it out, or compute the value from the inputs";

export const clockFault =
  "depends on when it runs, so a recomputation would give something else; take the time from a column of an input";

export const sessionFault =
  "depends on who is connected or to which server, so a recomputation would give something else; leave it out";

function callOf({ schema, name }: FoundFunction): string {
  return `${schema === "pg_catalog" ? "" : `${schema}.`}${name}()`;
}

function isBuiltIn(found: FoundFunction): boolean {
  return found.schema === "pg_catalog" || found.schema === "information_schema";
}

/** Declared as `name` or `schema.name`. */
function isDeclared(found: FoundFunction, derived: Derived): boolean {
  return derived.functions.includes(found.name) || derived.functions.includes(`${found.schema}.${found.name}`);
}

function signatureOf(found: FoundFunction): string {
  return `${found.schema}.${found.name}(${found.arguments})`;
}
