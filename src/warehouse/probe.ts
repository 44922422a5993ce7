/**
 * What is measured of a partition while it is written, as plain values.
 *
 * Validation compiles checks and implied rules to probes; the warehouse turns the probes of a task into columns of the
 * one statement that also counts and hashes. A probe gives a number of failures; 0 means that the rule holds.
 */

export type Severity = "error" | "warn";

interface ProbeOf {
  /** Stable within a dataset; the name under which the result is stored. */
  readonly name: string;
  readonly severity: Severity;
  /** One sentence for people: what a failure means. */
  readonly message: string;
  /** Hash of what is asked, so that a stamp tells by which version of a rule its content was judged. */
  readonly rule?: string;
  /** Columns whose values the evidence may show under other names; where undefined, any column of the dataset. */
  readonly about?: readonly string[];
}

/** Rows for which a condition is true. `failing` is SQL over the owned columns by their quoted names. */
export interface RowProbe extends ProbeOf {
  readonly kind: "row";
  readonly failing: string;
}

/** Rows outside the task's own partition; the condition is the task's predicate, so it needs no SQL of its own. */
export interface OutsideProbe extends ProbeOf {
  readonly kind: "outside";
}

/** No row at all, where the live partition has some and the inputs have rows too. Needs no SQL of its own either. */
export interface EmptiedProbe extends ProbeOf {
  readonly kind: "emptied";
}

/** Rows that repeat the values of these columns; rows with a null in one of them do not count. */
export interface UniqueProbe extends ProbeOf {
  readonly kind: "unique";
  /** Database names of columns. */
  readonly columns: readonly string[];
}

/**
 * One number over the whole partition: `failures` is an SQL aggregate over the owned columns that gives it; its scalar
 * subqueries may read the inputs by their handles. `evidence` is a query over `candidate` and the handles that shows why.
 */
export interface AggregateProbe extends ProbeOf {
  readonly kind: "aggregate";
  readonly failures: string;
  readonly evidence: string;
}

/** A query whose rows are the failures. It may read `candidate` and the inputs by their handles. */
export interface StatementProbe extends ProbeOf {
  readonly kind: "statement";
  readonly statement: string;
}

export type Probe = RowProbe | OutsideProbe | EmptiedProbe | UniqueProbe | AggregateProbe | StatementProbe;

/** A self-contained query over whole tables whose rows are the failures; run once all tasks of the dataset are done. */
export interface DatasetProbe extends ProbeOf {
  readonly kind: "dataset";
  readonly statement: string;
}

/** A probe that did not hold. */
export interface Failure {
  readonly probe: Probe;
  readonly count: number;
}
