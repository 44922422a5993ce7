/** The control-plane driver: the `Database` port over postgres.js. Task connections are in warehouse/session.ts. */
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

/** Opens a pool; connections are made when they are needed. */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const sql = postgres(url, {
    max: options.max ?? 10,
    onnotice: () => {},
    connection: { ...session, application_name: options.applicationName ?? "rederive" },
    // Statements are few and known; named prepared statements save their parse time.
    prepare: true,
    idle_timeout: 60,
    connect_timeout: 15,
  });
  const database: Database = {
    query: (text, params = []) => run(sql, text, params),
    transaction: async (work, transactionOptions: TransactionOptions = {}) => {
      const isolation = transactionOptions.isolation ?? "read committed";
      const result = await sql.begin(`isolation level ${isolation}`, async (transaction) => {
        const tx: Tx = { query: (text, params = []) => run(transaction, text, params) };
        return { value: await work(tx) };
      });
      return result.value;
    },
    close: () => sql.end({ timeout: 5 }),
  };
  return database;
}

async function run<Row>(sql: postgres.Sql | postgres.TransactionSql, text: string, params: readonly unknown[]): Promise<Row[]> {
  // postgres.js types parameters by its own serialisers; the port's callers pass plain values and cast in SQL.
  const rows = await sql.unsafe(text, params as postgres.ParameterOrJSON<never>[], { prepare: params.length > 0 });
  return rows as unknown as Row[];
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
