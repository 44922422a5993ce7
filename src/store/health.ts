/** Questions about the server and about this role's rights on the control schemas. */
import type { Database, Tx } from "../tx.ts";
import { sessionRights } from "./roles.ts";

export interface MissingRight {
  readonly object: string;
  readonly right: string;
  /** The statement that gives it. */
  readonly grant: string;
}

export async function serverVersion(tx: Tx): Promise<{ major: number; text: string }> {
  const [row] = await tx.query<{ number: number; text: string }>(
    "select current_setting('server_version_num')::int as number, current_setting('server_version') as text",
  );
  return { major: Math.floor((row?.number ?? 0) / 10_000), text: row?.text ?? "unknown" };
}

/**
 * True where consecutive statements of one client session may reach different backends, as behind a transaction pool: a
 * session setting made in one statement is then not seen, or another backend answers, in the next.
 */
export async function poolsTransactions(database: Database): Promise<boolean> {
  const seen = new Set<string>();
  // Enough tries for a pool to hand out another backend while they run side by side with a held transaction.
  await database.transaction(async () => {
    for (let count = 0; count < 5; count += 1) {
      const [row] = await database.query<{ setting: string }>("select current_setting('search_path') as setting");
      seen.add(row?.setting ?? "");
    }
  });
  return seen.size > 1 || ![...seen][0]?.startsWith("pg_catalog");
}

/** This process's clock minus that of Postgres, in milliseconds, corrected for half of the round trip. */
export async function clockOffsetMs(tx: Tx): Promise<number> {
  const before = Date.now();
  const [row] = await tx.query<{ now: number }>("select (extract(epoch from clock_timestamp()) * 1000)::float8 as now");
  const after = Date.now();
  return (before + after) / 2 - (row?.now ?? before);
}

/** Rights on our own schemas that this role does not have. */
export async function controlRights(tx: Tx): Promise<MissingRight[]> {
  const rows = await tx.query<{ schema: string; right: string }>(
    `select s.schema, r.right
     from (values ('rederive', 'USAGE'), ('rederive_candidate', 'CREATE'), ('rederive_restore', 'CREATE')) as s (schema, required)
     cross join lateral (values ('USAGE'), (s.required)) as r ("right")
     where exists (select from pg_catalog.pg_namespace n where n.nspname = s.schema)
       and not has_schema_privilege(s.schema, r.right)
     group by s.schema, r.right`,
  );
  return rows.map(({ schema, right }) => ({
    object: `schema ${schema}`,
    right: right.toLowerCase(),
    grant: `grant ${right.toLowerCase()} on schema ${schema} to current_user`,
  }));
}

/**
 * Who may not end the sessions of lost workers that log in as somebody else: the group role of workers and planners, and
 * where there are several, the logins of live workers and our own, unless that is one of the API.
 */
export async function powerlessLogins(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ login: string }>(
    `with role as (
       select rolname from pg_catalog.pg_roles where rolname in ('rederive_api', 'rederive_worker')
     ), login as (
       select usename::name as name from pg_catalog.pg_stat_activity
       where datname = current_database() and application_name like 'rederive worker %'
       union
       select current_user
     )
     select asked.name::text as login
     from (
       select rolname as name from role where rolname = 'rederive_worker'
       union
       select name from login where (select count(*) from login) > 1
         and (name <> current_user or not exists (
           select from role where rolname = 'rederive_api' and pg_has_role(current_user, rolname, 'usage')))
     ) asked
     where not (${sessionRights.map((right) => `pg_has_role(asked.name, '${right}', 'usage')`).join(" and ")})
     order by 1`,
  );
  return rows.map(({ login }) => login);
}
