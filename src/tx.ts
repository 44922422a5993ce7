/**
 * The port through which all SQL runs.
 *
 * Two drivers stand behind it: postgres.js for the control plane and `pg` for the connections of a task (COPY
 * streams; see docs/decisions/0002-two-drivers.md). A function that takes a `Tx` does not know which, nor whether
 * it is inside a transaction. Values come back as the driver gives them, so a query casts what must be exact:
 * int8 and numeric to text, timestamps to text or to epoch milliseconds.
 */
export interface Tx {
  /** Runs one statement. `params` are bound as $1, $2, …; arrays bind as Postgres arrays. */
  query<Row = Record<string, unknown>>(text: string, params?: readonly unknown[]): Promise<Row[]>;
}

export type Isolation = "read committed" | "repeatable read";

export interface TransactionOptions {
  /** Default: read committed. */
  readonly isolation?: Isolation;
}

/** A pool: each `query` is a transaction of its own; `transaction` commits when `work` resolves, else rolls back. */
export interface Database extends Tx {
  transaction<Result>(work: (tx: Tx) => Promise<Result>, options?: TransactionOptions): Promise<Result>;
  close(): Promise<void>;
}
