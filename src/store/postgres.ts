/** The control-plane driver: the `Database` port over postgres.js. Task connections are in warehouse/session.ts. */
import pg from "pg";
import postgres from "postgres";
import { messageOf, RederiveError } from "../errors.ts";
import type { Database, TransactionOptions, Tx } from "../tx.ts";

export interface DatabaseOptions {
  /** Connections at most; default 10. */
  readonly max?: number;
  /** Shown in pg_stat_activity; default "rederive". */
  readonly applicationName?: string;
}

/** Session settings of the control plane: it must not depend on what the server or the role has set. */
const session = {
  TimeZone: "UTC",
  DateStyle: "ISO, YMD",
  search_path: "pg_catalog, public",
  // Control rows must survive a crash once they are acknowledged, whatever the server's default is.
  synchronous_commit: "on",
};

/**
 * The array types that the control plane uses, by name. postgres.js 3.4.9 would ask each new connection for them with a
 * statement whose rejection nobody handles, so a connection that is cut at that moment would end the process.
 */
const arrayTypes = {
  int2Array: arrayType(1005),
  int4Array: arrayType(1007),
  textArray: arrayType(1009),
  int8Array: arrayType(1016),
  float8Array: arrayType(1022),
  oidArray: arrayType(1028),
};

/** Opens a pool; connections are made when they are needed. */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const sql = postgres(url, {
    max: options.max ?? 10,
    onnotice: () => {},
    connection: { ...session, application_name: options.applicationName ?? "rederive" },
    fetch_types: false,
    types: arrayTypes,
    // Statements are few and known; named prepared statements save their parse time.
    prepare: true,
    idle_timeout: 60,
    connect_timeout: 15,
  });
  const database: Database = {
    query: (text, params = []) => run(sql, text, params),
    transaction: async (work, transactionOptions: TransactionOptions = {}) =>
      transact(sql, transactionOptions.isolation ?? "read committed", work),
    close: () => sql.end({ timeout: 5 }),
  };
  return database;
}

type ArrayItem = string | number | bigint | null;

function arrayType(oid: number): postgres.PostgresType<readonly ArrayItem[]> {
  return { to: oid, from: [oid], parse: pg.types.getTypeParser(oid), serialize: arrayLiteral };
}

function arrayLiteral(items: readonly ArrayItem[]): string {
  const item = (value: ArrayItem) => (value === null ? "null" : `"${String(value).replaceAll(/["\\]/g, "\\$&")}"`);
  return `{${items.map(item).join(",")}}`;
}

/** Begins a transaction; once more where the connection had died before it could begin. */
async function transact<Result>(
  sql: postgres.Sql,
  isolation: string,
  work: (tx: Tx) => Promise<Result>,
): Promise<Result> {
  const begin = `isolation level ${isolation}`;
  try {
    return await transactOnce(sql, begin, work);
  } catch (error) {
    if (!isStale(error, `begin ${begin}`)) throw error;
    return transactOnce(sql, begin, work);
  }
}

/**
 * Where the connection of a transaction is lost, postgres.js 3.4.9 would still write `rollback` or `commit` to it and
 * throw outside of any promise, which ends the process. So nothing is given back to it then: `begin` rejects by itself
 * when the connection closes.
 */
async function transactOnce<Result>(
  sql: postgres.Sql,
  begin: string,
  work: (tx: Tx) => Promise<Result>,
): Promise<Result> {
  let lost = false;
  const forever = () => new Promise<never>(() => {});
  const begun = sql.begin(begin, async (transaction) => {
    const tx: Tx = {
      query: async (text, params = []) => {
        if (lost) throw connectionLost();
        return run(transaction, text, params);
      },
    };
    try {
      const value = await work(tx);
      return lost ? await forever() : { value };
    } catch (error) {
      if (lost || isConnectionLoss(error)) return forever();
      throw error;
    }
  });
  begun.catch(() => {
    lost = true;
  });
  return ((await begun) as { value: Result }).value;
}

/**
 * postgres.js 3.4.9 gives the error with which the server closed a connection a second time, to the first statement
 * after the reconnection, which it then does not send. The error carries the text of the statement that it belongs to.
 */
function isStale(error: unknown, text: string): boolean {
  const of = (error as { query?: unknown } | null)?.query;
  return isConnectionLoss(error) && typeof of === "string" && of !== text;
}

/** Errors after which the server has closed the connection, and those by which postgres.js says that it is closed. */
function isConnectionLoss(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string") return false;
  return code.startsWith("CONNECTION_") || code.startsWith("57P0") || code === "ECONNRESET" || code === "EPIPE";
}

function connectionLost(): RederiveError {
  return new RederiveError(
    "unavailable",
    "the connection to Postgres was lost in a transaction; nothing was committed; try again",
  );
}

async function run<Row>(
  sql: postgres.Sql | postgres.TransactionSql,
  text: string,
  params: readonly unknown[],
): Promise<Row[]> {
  // postgres.js types parameters by its own serialisers; the port's callers pass plain values and cast in SQL.
  const send = () => sql.unsafe(text, params as postgres.ParameterOrJSON<never>[], { prepare: params.length > 0 });
  try {
    return (await send()) as unknown as Row[];
  } catch (error) {
    if (!isStale(error, text)) throw error;
    return (await send()) as unknown as Row[];
  }
}

/** A clear error where the database cannot be reached at all. */
export async function checkReachable(database: Database, url: string): Promise<void> {
  try {
    await database.query("select 1");
  } catch (error) {
    throw new RederiveError(
      "unavailable",
      `cannot reach Postgres at ${withoutPassword(url)}: ${messageOf(error)}; check DATABASE_URL and that the server runs`,
      { cause: error },
    );
  }
}

/** A connection URL that may be shown: without its password. */
export function withoutPassword(url: string): string {
  try {
    const parsed = new URL(url);
    if (parsed.password !== "") parsed.password = "…";
    return decodeURIComponent(parsed.toString());
  } catch {
    return "the given URL";
  }
}
