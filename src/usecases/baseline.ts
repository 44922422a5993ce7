/**
 * Golden baselines: what a dataset or a query over datasets was known to give, kept by version with its provenance, and
 * compared with every candidate before it is verified.
 *
 * Captured by one person, approved by (in production) another; only the approved version of a name is compared. Each act
 * is an audit row.
 */
import type { Derived } from "../catalog/dataset.ts";
import { describePartitions } from "../catalog/label.ts";
import { intersect, isEmpty, type Ranges } from "../catalog/ranges.ts";
import { messageOf, RederiveError } from "../errors.ts";
import { personOf } from "../governance/roles.ts";
import type { Baseline } from "../report.ts";
import { appendAudit } from "../store/audit.ts";
import {
  approveBaseline,
  type BaselineRow,
  insertBaseline,
  listBaselines,
  nextVersion,
  provenanceOf,
  retireBaseline,
} from "../store/baselines.ts";
import { didYouMean } from "../suggest.ts";
import type { Tx } from "../tx.ts";
import { outcomeOf, parseTolerance, requireTolerable, uncomparable } from "../validation/baseline.ts";
import type { Outcome } from "../validation/verdict.ts";
import {
  baselineTable,
  type Comparison,
  captureRows,
  comingRows,
  compareRows,
  liveRows,
  queryOver,
  repeatedKeys,
  rowsHash,
} from "../warehouse/baseline.ts";
import type { Recomputed } from "../warehouse/constraints.ts";
import { hashAlgorithm } from "../warehouse/digest.ts";
import { evidenceLimit } from "../warehouse/evidence.ts";
import { pinTransaction } from "../warehouse/locks.ts";
import { columnsHidden, maskRow } from "../warehouse/mask.ts";
import { predicateOf } from "../warehouse/predicate.ts";
import type { Context } from "./context.ts";
import type { Reasoned } from "./control.ts";
import { type PartitionChoice, rangesOfChoice } from "./partitions.ts";

export interface CaptureInput extends Reasoned {
  /** 1 to 40 of a-z, 0-9, _ and -. A name that is there gets its next version. */
  readonly name: string;
  /** The dataset at whose verification it is compared. */
  readonly dataset: Derived | string;
  /** Labels or ordinal ranges; default all of it. Not with a query. */
  readonly partitions?: PartitionChoice | undefined;
  /** A query over datasets by their names, in place of the dataset's rows. */
  readonly query?: string | undefined;
  /** Columns that tell rows apart. Default: the dataset's key; of a query none, and then its rows are equal or not. */
  readonly key?: readonly string[] | undefined;
  /** How far numbers may be off, by column: "0.01", or "1%" of what the baseline has. Default: not at all. */
  readonly tolerance?: Readonly<Record<string, string>> | undefined;
  /** "warn" tells and holds nothing. Default "error". */
  readonly severity?: "error" | "warn" | undefined;
}

export interface BaselineChoice extends Reasoned {
  readonly name: string;
  /** Default: the newest. */
  readonly version?: number | undefined;
}

/** Keeps what is live now. Throws `usage` for what cannot be kept or compared. */
export async function captureBaseline(context: Context, input: CaptureInput): Promise<Baseline> {
  const wish = wishOf(context, input);
  const { name, derived, partitions, query, severity } = wish;
  await requireFreeName(context, name);
  const statement = query === null ? liveRows(derived, partitions) : queryOver(query, everyDerived(context), []);
  await context.database.transaction(
    async (tx) => {
      await pinTransaction(tx, { lockTimeoutMs: context.settings.lockTimeoutMs });
      const version = await nextVersion(tx, name);
      const rowsIn = baselineTable(name, version);
      const captured = await capture(tx, rowsIn, statement);
      const columns = captured.columns.map((column) => column.name);
      await requireKey(tx, rowsIn, wish.key, columns);
      requireTolerable(wish.tolerance, wish.key, captured.columns);
      await insertBaseline(tx, {
        ...{ name, version, dataset: derived.name, partitions, query, severity, rowsIn, columns, hashAlgorithm },
        ...{ key: wish.key, tolerance: wish.tolerance, reason: input.reason, capturedBy: personOf(context.actor) },
        ...{ rows: captured.rows, contentHash: captured.contentHash },
        provenance: await provenanceOf(tx, derived.name, partitions),
      });
      await audit(tx, context, "baseline.capture", { name, version, dataset: derived.name, reason: input.reason });
    },
    { isolation: "repeatable read" },
  );
  return newest(context, name);
}

/** Makes a captured version the one that is compared; the one before it is retired. */
export async function approve(context: Context, input: BaselineChoice): Promise<Baseline> {
  requireReason("approve a baseline", input.reason);
  return decide(context, input, "baseline.approve", async (tx, row) => {
    if (context.settings.environment === "production" && row.capturedBy === personOf(context.actor)) {
      throw new RederiveError("forbidden", `${row.capturedBy} captured ${told(row)}; somebody else has to approve it`);
    }
    if ((await rowsHash(tx, row.rowsIn)) !== row.contentHash) {
      throw new RederiveError(
        "verification_failed",
        `the rows of ${told(row)} are not those that were captured; capture it again`,
      );
    }
    return approveBaseline(tx, { name: row.name, version: row.version, by: context.actor.name });
  });
}

/** Compares it no more. */
export async function retire(context: Context, input: BaselineChoice): Promise<Baseline> {
  requireReason("retire a baseline", input.reason);
  return decide(context, input, "baseline.retire", (tx, row) =>
    retireBaseline(tx, { name: row.name, version: row.version, by: context.actor.name }),
  );
}

/** By name, newest version first. */
export async function baselines(context: Context, of: { readonly name?: string | undefined }): Promise<Baseline[]> {
  const rows = await listBaselines(context.database, of);
  return rows.map((row) => reported(context, row));
}

/**
 * Where the candidate of a dataset differs from its approved baselines. Of rows of the dataset itself those partitions are
 * compared that are recomputed; a query is asked of what all datasets will hold.
 */
export async function baselineOutcomes(
  tx: Tx,
  part: Recomputed,
  parts: readonly Recomputed[],
  datasets: readonly Derived[],
): Promise<Outcome[]> {
  const rows = await listBaselines(tx, { dataset: part.derived.name, state: "approved" });
  const outcomes: Outcome[] = [];
  for (const row of rows) {
    const outcome = await compareWith(tx, row, comparisonOf(row, part, parts, datasets), part.derived);
    if (outcome !== undefined) outcomes.push(outcome);
  }
  return outcomes;
}

function comparisonOf(
  row: BaselineRow,
  part: Recomputed,
  parts: readonly Recomputed[],
  datasets: readonly Derived[],
): Comparison | undefined {
  const { query, key, columns, tolerance, rowsIn: table } = row;
  const common = { table, key, columns, tolerance };
  if (query !== null) return { ...common, statement: queryOver(query, datasets, parts) };
  const compared = row.partitions === null ? part.partitions : intersect(row.partitions, part.partitions);
  if (isEmpty(compared)) return undefined;
  const within = predicateOf(part.derived.partitions, compared);
  return { ...common, statement: comingRows(part, compared), within };
}

async function compareWith(
  tx: Tx,
  row: BaselineRow,
  comparison: Comparison | undefined,
  derived: Derived,
): Promise<Outcome | undefined> {
  if (comparison === undefined) return undefined;
  try {
    if ((await rowsHash(tx, row.rowsIn)) !== row.contentHash) {
      return uncomparable(row, "its rows are not those that were captured; capture it again");
    }
    const { count, sql, rows } = await compareRows(tx, comparison, evidenceLimit);
    const hidden = hiddenIn(row, derived);
    return outcomeOf(row, { count, sql, rows: rows.map((each) => maskRow(each, hidden)) });
  } catch (error) {
    return uncomparable(row, `${messageOf(error)}; capture it again`);
  }
}

/** Values show as `column: was` and `column: is`. A query may give masked values other names, so unknown ones are hidden. */
function hiddenIn({ query }: BaselineRow, derived: Derived): (name: string) => boolean {
  const masked = columnsHidden(derived);
  const known = new Set(derived.owned.map((column) => column.name));
  const anyMask = derived.owned.some((column) => masked(column.name));
  return (shown) => {
    const name = shown.replace(/: (was|is)$/, "");
    if (name === "difference") return false;
    return masked(name) || (query !== null && anyMask && !known.has(name));
  };
}

interface Wish {
  readonly name: string;
  readonly derived: Derived;
  readonly partitions: Ranges | null;
  readonly query: string | null;
  readonly key: readonly string[];
  readonly tolerance: BaselineRow["tolerance"];
  readonly severity: "error" | "warn";
}

function wishOf(context: Context, input: CaptureInput): Wish {
  requireReason("capture a baseline", input.reason);
  const { name, query, partitions, severity = "error" } = input;
  if (!/^[a-z0-9_-]{1,40}$/.test(name)) {
    throw new RederiveError(
      "usage",
      `${JSON.stringify(name.slice(0, 80))} is no name for a baseline; give 1 to 40 of a-z, 0-9, _ and -`,
    );
  }
  if (severity !== "error" && severity !== "warn") {
    throw new RederiveError("usage", `severity is ${JSON.stringify(severity)}; give error or warn`);
  }
  if (query !== undefined && partitions !== undefined) {
    throw new RederiveError(
      "usage",
      "a baseline holds a query or partitions of a dataset; say which rows in the query",
    );
  }
  const derived = requireDerived(context, input.dataset);
  const own = query === undefined ? derived.key.map((column) => column.name) : [];
  return {
    ...{ name, derived, severity, query: query ?? null, key: input.key ?? own },
    partitions: partitions === undefined ? null : rangesOfChoice(context.catalog, [derived.name], partitions),
    tolerance: parseTolerance(input.tolerance ?? {}),
  };
}

/** A next version takes the place of the one before it, so of limited people that has to be theirs. */
async function requireFreeName({ database, sight }: Context, name: string): Promise<void> {
  if (sight === undefined) return;
  const versions = await listBaselines(database, { name });
  if (versions.every(({ dataset }) => sight.datasets.has(dataset))) return;
  throw new RederiveError("usage", `the name ${name} is taken; choose another`);
}

async function capture(tx: Tx, table: string, statement: string): ReturnType<typeof captureRows> {
  try {
    return await captureRows(tx, table, statement);
  } catch (error) {
    throw new RederiveError("usage", `the rows cannot be captured: ${messageOf(error)}`, { cause: error });
  }
}

async function requireKey(tx: Tx, table: string, key: readonly string[], columns: readonly string[]): Promise<void> {
  for (const name of key) {
    if (columns.includes(name)) continue;
    throw new RederiveError(
      "usage",
      `the key column ${name} is not among ${columns.join(", ")}${didYouMean(name, columns)}`,
    );
  }
  if (key.length === 0) return;
  const repeated = await repeatedKeys(tx, table, key);
  if (repeated === 0) return;
  throw new RederiveError(
    "usage",
    `${repeated} values of the key (${key.join(", ")}) have more than one row; give one that tells rows apart`,
  );
}

async function decide(
  context: Context,
  input: BaselineChoice,
  act: string,
  work: (tx: Tx, row: BaselineRow) => Promise<boolean>,
): Promise<Baseline> {
  const { name, version } = input;
  await context.database.transaction(async (tx) => {
    const row = await requireBaseline(tx, name, version);
    if (!(await work(tx, row))) {
      throw new RederiveError(
        "wrong_state",
        `${told(row)} is ${row.state} already; capture it again for a new version`,
      );
    }
    await audit(tx, context, act, { name, version: row.version, dataset: row.dataset, reason: input.reason });
  });
  const rows = await baselines(context, { name });
  return rows.find((row) => version === undefined || row.version === version) as Baseline;
}

async function requireBaseline(tx: Tx, name: string, version: number | undefined): Promise<BaselineRow> {
  const rows = await listBaselines(tx, { name });
  const found = rows.find((row) => version === undefined || row.version === version);
  if (found) return found;
  const what = version === undefined || rows.length === 0 ? "" : ` of version ${version}`;
  throw new RederiveError(
    "not_found",
    `there is no baseline ${JSON.stringify(name.slice(0, 80))}${what}; "rederive baseline list" lists them`,
  );
}

async function newest(context: Context, name: string): Promise<Baseline> {
  const [row] = await baselines(context, { name });
  return row as Baseline;
}

async function audit(
  tx: Tx,
  { actor }: Context,
  act: string,
  { name, version, dataset, reason }: { name: string; version: number; dataset: string; reason: string },
): Promise<void> {
  await appendAudit(tx, { actor: actor.name, act, dataset, reason, details: { baseline: name, version } });
}

function reported({ catalog }: Context, row: BaselineRow): Baseline {
  const { rowsIn: _rowsIn, columns: _columns, partitions, ...told } = row;
  const scheme = catalog.datasets.get(row.dataset)?.partitions;
  return {
    ...told,
    partitions:
      partitions === null ? null : scheme ? describePartitions(scheme, partitions) : JSON.stringify(partitions),
  };
}

function everyDerived({ catalog }: Context): Derived[] {
  return [...catalog.datasets.values()].filter((dataset): dataset is Derived => dataset.kind === "derived");
}

function requireDerived({ catalog }: Context, wanted: Derived | string): Derived {
  const name = typeof wanted === "string" ? wanted : wanted.name;
  const dataset = catalog.datasets.get(name);
  if (dataset?.kind === "derived") return dataset as Derived;
  const names = [...catalog.datasets.keys()];
  throw new RederiveError(
    "not_found",
    `there is no derived dataset ${JSON.stringify(name.slice(0, 80))}${didYouMean(name, names)}`,
  );
}

function requireReason(act: string, reason: string): void {
  if (reason.trim() === "") throw new RederiveError("usage", `to ${act} needs a reason, for the audit trail`);
}

function told({ name, version }: BaselineRow): string {
  return `baseline ${name}, version ${version},`;
}
