/**
 * Group roles for the login users of a deployment, and what they may do with the control schema: `rederive_api` for whatever
 * acts for people (server, command line, the application), `rederive_worker` for workers and planners, `rederive_audit` for who
 * reads the record. None of them can rewrite what was planned or what is on record. `rederive_data` owns the tables that a
 * backfill makes, so that one process can fill, analyse and drop what another made; nobody logs in as it.
 */
import { sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";

export const groupRoles = ["rederive_api", "rederive_worker", "rederive_audit"] as const;
const dataRole = "rederive_data";

/** Predefined roles of Postgres. */
export const sessionRights = ["pg_read_all_stats", "pg_signal_backend"] as const;

/** Schemas of the tables that backfills make. */
const dataSchemas = ["rederive_candidate", "rederive_restore", "rederive_baseline"];

/** What was planned. The rest of a backfill's row is how far it is. */
const planBody = [
  ...["id", "plan_hash", "decision", "reason", "environment", "requested_by", "created_at"],
  ...["start_approvals", "promotion_approvals", "sign_off"],
];

interface Rights {
  readonly api: string;
  readonly worker: string;
}

/** Tables of which less is granted than reading and writing. */
const restricted: Readonly<Record<string, Rights>> = {
  audit: { api: "select, insert", worker: "select, insert" },
  audit_chain: { api: "select", worker: "select, insert" },
  audit_pending: { api: "select", worker: "select, delete" },
  audit_pruned: { api: "select", worker: "select" },
  approval: { api: "select, insert, update (withdrawn_at)", worker: "select" },
  api_token: { api: "select, insert, update", worker: "" },
  identity: { api: "select, insert, update", worker: "" },
  session: { api: "select, insert, update, delete", worker: "" },
  keyed_request: { api: "select, insert, update, delete", worker: "" },
  definition: { api: "select, insert", worker: "select" },
  meta: { api: "select", worker: "select" },
  migration: { api: "select", worker: "select" },
};

/** Makes the roles that are not there. Needs the right to create roles. */
export async function createRoles(tx: Tx): Promise<void> {
  // Two at once would change the same rows of the system catalogs.
  await tx.query("lock table rederive.meta in share row exclusive mode");
  for (const role of [dataRole, ...groupRoles]) {
    const [found] = await tx.query("select from pg_catalog.pg_roles where rolname = $1::text", [role]);
    if (found === undefined) await tx.query(`create role ${role} nologin`);
  }
  await tx.query(`grant ${dataRole} to rederive_api, rederive_worker`);
}

/** Takes all rights on the control schema from the roles and gives them those that they need. */
export async function grantControlRights(tx: Tx): Promise<void> {
  const all = groupRoles.join(", ");
  await tx.query(`revoke all on all tables in schema rederive from ${all}`);
  await tx.query(`grant usage on schema rederive to ${all}`);
  await tx.query(
    "grant select, insert, update, delete on all tables in schema rederive to rederive_api, rederive_worker",
  );
  await tx.query("grant select on all tables in schema rederive to rederive_audit");
  await tx.query("revoke all on rederive.api_token, rederive.session, rederive.keyed_request from rederive_audit");
  const progress = await progressColumns(tx);
  const backfill = `select, update (${progress.join(", ")})`;
  const rights = { ...restricted, backfill: { api: `insert, ${backfill}`, worker: backfill } };
  for (const [table, { api, worker }] of Object.entries(rights)) {
    await tx.query(`revoke all on rederive.${table} from rederive_api, rederive_worker`);
    await tx.query(`grant ${api} on rederive.${table} to rederive_api`);
    if (worker !== "") await tx.query(`grant ${worker} on rederive.${table} to rederive_worker`);
  }
  for (const schema of dataSchemas) {
    await tx.query(`create schema if not exists ${schema}`);
    await tx.query(`grant usage, create on schema ${schema} to ${dataRole}`);
  }
}

/**
 * Workers and planners end the sessions of lost attempts, also of processes that log in as somebody else: that takes the
 * right to see when a session started, and the right to end it. False where only a superuser may grant those.
 */
export async function grantSessionRights(tx: Tx): Promise<boolean> {
  await tx.query("savepoint rederive_sessions");
  try {
    await tx.query(`grant ${sessionRights.join(", ")} to rederive_worker`);
  } catch (error) {
    if (sqlState(error) !== "42501") throw error;
    await tx.query("rollback to savepoint rederive_sessions");
    return false;
  }
  return true;
}

async function progressColumns(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `select quote_ident(attname) as name from pg_catalog.pg_attribute
     where attrelid = 'rederive.backfill'::regclass and attnum > 0 and not attisdropped and attname <> all($1::text[])
     order by attnum`,
    [planBody],
  );
  return rows.map(({ name }) => name);
}
