/**
 * Tells OpenLineage what Postgres says of backfills: the leading planner looks every few seconds, and writes the events
 * that are due as messages, in one transaction with the note that they were told. Workers have no part in it.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import type { Term } from "../executor/settle.ts";
import {
  backfillEvent,
  datasetEvent,
  type EventOf,
  type Place,
  type RunEvent,
  runIdOf,
} from "../lineage/openlineage.ts";
import { type DueEvent, dueEvents, mayBeDue, type RunStanding } from "../lineage/runs.ts";
import { holdTerm } from "../store/leaders.ts";
import {
  type BackfillProgress,
  backfillsToTell,
  begunDatasets,
  type DatasetProgress,
  datasetProgress,
  failedCheckNames,
  newestRuns,
  type RunRow,
  recordRun,
} from "../store/lineage-runs.ts";
import { addMessage, waitingMessages } from "../store/messages.ts";
import type { Database, Tx } from "../tx.ts";
import { type ColumnLineage, columnLineage } from "../warehouse/column-lineage.ts";

export interface LineageTellerOptions {
  readonly database: Database;
  readonly catalog: Catalog;
  readonly place: Place;
  /** Statements are part of the events. */
  readonly sql: boolean;
  /** Between two RUNNING events of a run. Default 60,000. */
  readonly runningMs?: number;
}

/** With so many messages waiting, nothing is said but beginnings and ends. */
const crowded = 1_000;

export class LineageTeller {
  readonly #options: LineageTellerOptions;
  readonly #columns = new Map<string, ColumnLineage | undefined>();

  constructor(options: LineageTellerOptions) {
    this.#options = options;
  }

  /**
   * Returns how many events were written; none where the term is over. Tasks are counted before the transaction, because
   * whoever has the term in a transaction keeps the leader from renewing it; that the term is the same after the count
   * says that nobody else has told anything meanwhile.
   */
  async tell(term: Term): Promise<number> {
    const { database } = this.#options;
    const all = await backfillsToTell(database);
    const runs = await newestRuns(
      database,
      all.map(({ id }) => id),
    );
    const runningMs = await this.#runningMs();
    const backfills: BackfillProgress[] = [];
    for (const backfill of all) if (await this.#mayBeDue(backfill, runs, runningMs)) backfills.push(backfill);
    if (backfills.length === 0) return 0;
    const datasets = await datasetProgress(
      database,
      backfills.map(({ id }) => id),
    );
    return database.transaction(async (tx) => {
      if (!(await holdTerm(tx, term))) return 0;
      let told = 0;
      for (const backfill of backfills) {
        const own = <Row extends { readonly backfill: string }>(rows: readonly Row[]) =>
          rows.filter((row) => row.backfill === backfill.id);
        told += await this.#tellOf(tx, { backfill, datasets: own(datasets), runs: own(runs), runningMs });
      }
      return told;
    });
  }

  async #runningMs(): Promise<number> {
    const { database, runningMs = 60_000 } = this.#options;
    return (await waitingMessages(database, "openlineage")) > crowded ? Number.POSITIVE_INFINITY : runningMs;
  }

  /** Of what is in no catalog nothing is told. */
  async #mayBeDue(backfill: BackfillProgress, runs: readonly RunRow[], runningMs: number): Promise<boolean> {
    const { catalog, database } = this.#options;
    const known = backfill.datasets.filter((name) => catalog.datasets.get(name)?.kind === "derived");
    const runOf = (dataset: string) => runs.find((row) => row.backfill === backfill.id && row.dataset === dataset);
    const begun = await begunDatasets(
      database,
      backfill.id,
      known.filter((dataset) => runOf(dataset) === undefined),
    );
    const due = (dataset: string) =>
      mayBeDue(runOf(dataset), { ...backfill, began: dataset === "" || begun.has(dataset) }, runningMs);
    return ["", ...known].some(due);
  }

  /** The backfill begins before its datasets and ends after them. */
  async #tellOf(tx: Tx, look: Look): Promise<number> {
    const { backfill, datasets, runningMs } = look;
    const whole = wholeOf(backfill, datasets);
    const events = dueEvents(standingOf(look, "", whole), runningMs);
    const attempt = events[0]?.attempt ?? runOf(look, "")?.attempt ?? 1;
    const about = { ...backfill, attempt };
    const { place } = this.#options;
    const ofBackfill = (event: DueEvent) =>
      this.#write(
        tx,
        backfill.id,
        "",
        event,
        backfillEvent(place, about, detailed(event, whole, backfill.stateReason)),
      );
    for (const event of events.filter(({ type }) => type === "START")) await ofBackfill(event);
    let told = events.length;
    const failed = await failedCheckNames(tx, backfill.id);
    for (const dataset of datasets) {
      const derived = this.#options.catalog.datasets.get(dataset.dataset);
      if (derived?.kind !== "derived") continue;
      for (const event of dueEvents(standingOf(look, dataset.dataset, dataset), runningMs)) {
        const { partitions, fingerprint } = dataset;
        const facts = {
          derived,
          partitions,
          fingerprint,
          columns: await this.#columnsOf(tx, derived),
          sql: this.#options.sql,
        };
        const failedChecks = failed.get(dataset.dataset) ?? new Set<string>();
        const because = dataset.error ?? dataset.because ?? backfill.stateReason;
        await this.#write(
          ...([tx, backfill.id, dataset.dataset, event] as const),
          datasetEvent(place, about, { ...facts, failedChecks }, detailed(event, dataset, because)),
        );
        told += 1;
      }
    }
    for (const event of events.filter(({ type }) => type !== "START")) await ofBackfill(event);
    return told;
  }

  async #write(tx: Tx, backfill: string, dataset: string, { type, attempt }: DueEvent, event: RunEvent): Promise<void> {
    const ended = type === "START" || type === "RUNNING" ? null : type;
    await addMessage(tx, "openlineage", "", JSON.stringify(event));
    await recordRun(tx, { backfill, dataset, attempt, run: runIdOf(backfill, dataset, attempt), ended });
  }

  /** Asked of Postgres once. A statement that it does not take any more has no column lineage, and is no reason to be silent. */
  async #columnsOf(tx: Tx, derived: Derived): Promise<ColumnLineage | undefined> {
    if (!this.#columns.has(derived.name)) {
      await tx.query("savepoint rederive_tell");
      try {
        this.#columns.set(derived.name, await columnLineage(tx, derived));
      } catch {
        await tx.query("rollback to savepoint rederive_tell");
        this.#columns.set(derived.name, undefined);
      }
      await tx.query("release savepoint rederive_tell");
    }
    return this.#columns.get(derived.name);
  }
}

interface Look {
  readonly backfill: BackfillProgress;
  readonly datasets: readonly DatasetProgress[];
  readonly runs: readonly RunRow[];
  readonly runningMs: number;
}

type Counted = Pick<
  DatasetProgress,
  "total" | "done" | "unchanged" | "failed" | "rows" | "held" | "beganAt" | "endedAt" | "because"
>;

function wholeOf(backfill: BackfillProgress, datasets: readonly DatasetProgress[]): Counted {
  const sum = (count: (each: DatasetProgress) => number) => datasets.reduce((all, each) => all + count(each), 0);
  const ends = datasets.flatMap(({ endedAt }) => endedAt ?? []);
  return {
    ...{
      total: sum(({ total }) => total),
      done: sum(({ done }) => done),
      unchanged: sum(({ unchanged }) => unchanged),
    },
    ...{ failed: sum(({ failed }) => failed), rows: sum(({ rows }) => rows), held: datasets.some(({ held }) => held) },
    ...{ beganAt: backfill.startedAt, because: backfill.stateReason },
    endedAt: ends.length === 0 ? null : Math.max(...ends),
  };
}

function standingOf(look: Look, dataset: string, counted: Counted): RunStanding {
  const { total, done, unchanged, failed, rows, held, because, beganAt, endedAt } = counted;
  const { id, state, now } = look.backfill;
  return {
    ...{ backfill: id, dataset, state, total, done, unchanged, failed, rows, held, because, beganAt, endedAt, now },
    run: runOf(look, dataset),
  };
}

function runOf({ runs }: Look, dataset: string): RunRow | undefined {
  return runs.find((run) => run.dataset === dataset);
}

function detailed({ type, attempt, at }: DueEvent, counted: Counted, because: string | null): EventOf {
  const { total, done, unchanged, failed, rows } = counted;
  const error = type === "FAIL" ? (because ?? "it was held") : null;
  return { type, attempt, at, counts: { total, done, unchanged, failed, rows }, error };
}
