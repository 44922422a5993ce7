/**
 * OpenLineage 2-0-2 run events, as plain values. Pure.
 *
 * Facets carry the schema that they follow. What OpenLineage has no facet for (plan, reason, counts of partitions) is in
 * one of our own, `rederive`, which any consumer may ignore.
 */
import { getTableColumns } from "drizzle-orm";
import { getTableConfig, type PgColumn, type PgTable } from "drizzle-orm/pg-core";
import { boundsOfRange } from "../catalog/bounds.ts";
import type { Dataset, Derived } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { sha256 } from "../hash.ts";
import type { ColumnLineage } from "../warehouse/column-lineage.ts";
import type { EventType } from "./runs.ts";

export const producer = "https://github.com/rederive/rederive";
const core = "https://openlineage.io/spec/2-0-2/OpenLineage.json";
const facets = "https://openlineage.io/spec/facets";

export type Facet = Readonly<Record<string, unknown>>;
type Facets = Readonly<Record<string, Facet>>;

export interface RunEvent {
  readonly eventType: EventType;
  readonly eventTime: string;
  readonly producer: string;
  readonly schemaURL: string;
  readonly run: { readonly runId: string; readonly facets: Facets };
  readonly job: { readonly namespace: string; readonly name: string; readonly facets: Facets };
  readonly inputs: readonly EventDataset[];
  readonly outputs: readonly (EventDataset & { readonly outputFacets?: Facets })[];
}

export interface EventDataset {
  readonly namespace: string;
  readonly name: string;
  readonly facets: Facets;
}

/** Where the tables are, and how jobs are named. */
export interface Place {
  /** Of jobs. */
  readonly jobs: string;
  /** Of datasets: postgres://host:port. */
  readonly tables: string;
  readonly database: string;
  /** Version of Postgres, and of this package. */
  readonly engine: string;
  readonly version: string;
}

/** What is said of a backfill in the events of its datasets too. */
export interface EventBackfill {
  readonly id: string;
  readonly planHash: string;
  readonly reason: string;
  readonly requestedBy: string;
  /** Of the backfill's own run that was told of last. */
  readonly attempt: number;
}

export interface EventCounts {
  readonly total: number;
  readonly done: number;
  readonly unchanged: number;
  readonly failed: number;
  readonly rows: number;
}

export interface EventOf {
  readonly type: EventType;
  readonly attempt: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly counts: EventCounts;
  /** Of a failure. */
  readonly error: string | null;
}

/** The run of the backfill itself. */
export function backfillEvent(place: Place, backfill: EventBackfill, event: EventOf): RunEvent {
  return eventOf(event, {
    run: { runId: runIdOf(backfill.id, "", event.attempt), facets: runFacets(place, backfill, event) },
    job: {
      ...{ namespace: place.jobs, name: "rederive.backfill" },
      facets: { jobType: jobType("BACKFILL"), documentation: jobDocumentation(backfill.reason) },
    },
    inputs: [],
    outputs: [],
  });
}

export interface EventAbout {
  readonly derived: Derived;
  readonly partitions: Ranges;
  readonly fingerprint: string;
  /** Undefined where the statement cannot be read. */
  readonly columns: ColumnLineage | undefined;
  /** Names of declared checks that failed; of the others it is said that they hold, once the run is complete. */
  readonly failedChecks: ReadonlySet<string>;
  readonly sql: boolean;
}

/** The run of one dataset of a backfill. */
export function datasetEvent(place: Place, backfill: EventBackfill, about: EventAbout, event: EventOf): RunEvent {
  const { derived } = about;
  const inputs = [...new Set(derived.inputs.map(({ dataset }) => dataset))];
  return eventOf(event, {
    run: {
      runId: runIdOf(backfill.id, derived.name, event.attempt),
      facets: {
        ...runFacets(place, backfill, event, about),
        parent: facet("1-2-0", "ParentRunFacet", {
          run: { runId: runIdOf(backfill.id, "", backfill.attempt) },
          job: { namespace: place.jobs, name: "rederive.backfill" },
        }),
        ...nominalTime(derived, about.partitions),
      },
    },
    job: { namespace: place.jobs, name: derived.name, facets: jobFacets(about) },
    inputs: inputs.map((dataset) => ({ ...nameOf(place, dataset), facets: datasetFacets(place, dataset) })),
    outputs: [outputOf(place, about, event)],
  });
}

function eventOf({ type, at }: EventOf, rest: Pick<RunEvent, "run" | "job" | "inputs" | "outputs">): RunEvent {
  const eventTime = new Date(at).toISOString();
  return { eventType: type, eventTime, producer, schemaURL: `${core}#/$defs/RunEvent`, ...rest };
}

/** The same run has the same id, whoever tells of it: an event that is sent twice is one event. */
export function runIdOf(backfill: string, dataset: string, attempt: number): string {
  const hash = sha256(`${backfill} ${dataset} ${attempt}`);
  const variant = "89ab"[Number.parseInt(hash[16] ?? "0", 16) % 4];
  return [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `${variant}${hash.slice(17, 20)}`,
    hash.slice(20, 32),
  ].join("-");
}

function runFacets(place: Place, backfill: EventBackfill, { counts, error }: EventOf, about?: EventAbout): Facets {
  const { rows, ...partitions } = counts;
  return {
    processing_engine: facet("1-1-1", "ProcessingEngineRunFacet", {
      ...{ name: "PostgreSQL", version: place.engine, openlineageAdapterVersion: place.version },
    }),
    ...(error === null
      ? {}
      : { errorMessage: facet("1-0-1", "ErrorMessageRunFacet", { message: error, programmingLanguage: "SQL" }) }),
    rederive: {
      ...{ _producer: producer, _schemaURL: `${core}#/$defs/RunFacet` },
      ...{ backfill: backfill.id, planHash: backfill.planHash, reason: backfill.reason },
      ...{ requestedBy: backfill.requestedBy, partitions, rows },
      ...(about === undefined ? {} : { version: about.derived.version, fingerprint: about.fingerprint }),
    },
  };
}

/** From the beginning of the first partition to the end of the last, where partitions are times. */
function nominalTime({ partitions: scheme }: Derived, partitions: Ranges): Facets {
  const [first, last] = [partitions[0], partitions.at(-1)];
  if (scheme.kind !== "time" || first === undefined || last === undefined) return {};
  const { from, to } = boundsOfRange(scheme, [first[0], last[1]]);
  const [start, end] = [Date.parse(asInstant(from)), Date.parse(asInstant(to))];
  if (Number.isNaN(start) || Number.isNaN(end)) return {};
  return {
    nominalTime: facet("1-0-1", "NominalTimeRunFacet", {
      ...{ nominalStartTime: new Date(start).toISOString(), nominalEndTime: new Date(end).toISOString() },
    }),
  };
}

/** Bounds are literals of the column's type: dates and walls have no offset, and are told as UTC. */
function asInstant(bound: string): string {
  if (/^\d{4}-\d{2}-\d{2}$/.test(bound)) return `${bound}T00:00:00Z`;
  const text = bound.replace(" ", "T").replace(/([+-]\d{2})$/, "$1:00");
  return /(Z|[+-]\d{2}:?\d{2})$/.test(text) ? text : `${text}Z`;
}

function jobFacets({ derived, sql }: EventAbout): Facets {
  return {
    jobType: jobType("DATASET"),
    ...(derived.description === undefined ? {} : { documentation: jobDocumentation(derived.description) }),
    ...(derived.owner === undefined
      ? {}
      : { ownership: facet("1-0-1", "OwnershipJobFacet", { owners: owners(derived.owner) }) }),
    ...(sql ? { sql: facet("1-1-0", "SQLJobFacet", { query: derived.transform.statement, dialect: "postgres" }) } : {}),
  };
}

function jobType(type: string): Facet {
  return facet("2-0-4", "JobTypeJobFacet", { processingType: "BATCH", integration: "REDERIVE", jobType: type });
}

function jobDocumentation(description: string): Facet {
  return facet("1-1-0", "DocumentationJobFacet", { description });
}

function owners(owner: string): { name: string; type: string }[] {
  return [{ name: `team:${owner}`, type: "OWNER" }];
}

function outputOf(place: Place, about: EventAbout, { type, counts }: EventOf): RunEvent["outputs"][number] {
  const { derived, columns } = about;
  const output = {
    ...nameOf(place, derived),
    facets: {
      ...datasetFacets(place, derived),
      ...(columns === undefined ? {} : { columnLineage: columnFacet(place, derived, columns) }),
      ...(type === "COMPLETE" || type === "FAIL" ? { dataQualityAssertions: assertions(about) } : {}),
      ...(type === "COMPLETE"
        ? {
            dataQualityMetrics: facet("1-0-0", "DataQualityMetricsDatasetFacet", {
              rowCount: counts.rows,
              columnMetrics: {},
            }),
          }
        : {}),
    },
  };
  if (type === "START") return output;
  const statistics = facet("1-0-2", "OutputStatisticsOutputDatasetFacet", { rowCount: counts.rows });
  return { ...output, outputFacets: { outputStatistics: statistics } };
}

function assertions({ derived, failedChecks }: EventAbout): Facet {
  return facet("1-1-0", "DataQualityAssertionsDatasetFacet", {
    assertions: derived.checks.map((check) => ({
      ...{ assertion: check.kind, name: check.name, severity: check.severity, success: !failedChecks.has(check.name) },
      ...("column" in check && check.column !== undefined ? { column: check.column.name } : {}),
    })),
  });
}

const subtypes: Readonly<Record<string, readonly [type: string, subtype: string]>> = {
  identity: ["DIRECT", "IDENTITY"],
  transformation: ["DIRECT", "TRANSFORMATION"],
  aggregation: ["DIRECT", "AGGREGATION"],
  condition: ["INDIRECT", "CONDITIONAL"],
  window: ["INDIRECT", "WINDOW"],
  join: ["INDIRECT", "JOIN"],
  filter: ["INDIRECT", "FILTER"],
  group: ["INDIRECT", "GROUP_BY"],
  sort: ["INDIRECT", "SORT"],
};

function columnFacet(place: Place, derived: Derived, { columns, rows }: ColumnLineage): Facet {
  const fieldOf = ({ input, column, how }: ColumnLineage["rows"][number]) => {
    const dataset = derived.inputs.find(({ name }) => name === input)?.dataset;
    if (dataset === undefined) return [];
    const [type, subtype] = subtypes[how] ?? ["INDIRECT", "CONDITIONAL"];
    return [
      {
        ...nameOf(place, dataset),
        field: column,
        transformations: [{ type, subtype, description: "", masking: false }],
      },
    ];
  };
  return facet("1-2-0", "ColumnLineageDatasetFacet", {
    fields: Object.fromEntries(columns.map(({ name, uses }) => [name, { inputFields: uses.flatMap(fieldOf) }])),
    dataset: rows.flatMap(fieldOf),
  });
}

function nameOf({ tables, database }: Place, { table }: Dataset): { namespace: string; name: string } {
  const { schema, name } = getTableConfig(table);
  return { namespace: tables, name: `${database}.${schema ?? "public"}.${name}` };
}

function datasetFacets({ tables, database }: Place, dataset: Dataset): Facets {
  return {
    schema: facet("1-2-0", "SchemaDatasetFacet", {
      fields: columnsOf(dataset).map((column, index) => ({
        ...{ name: column.name, type: column.getSQLType(), ordinal_position: index + 1 },
      })),
    }),
    dataSource: facet("1-0-1", "DatasourceDatasetFacet", { name: tables, uri: `${tables}/${database}` }),
    ...(dataset.description === undefined
      ? {}
      : { documentation: facet("1-1-0", "DocumentationDatasetFacet", { description: dataset.description }) }),
    ...(dataset.owner === undefined
      ? {}
      : { ownership: facet("1-0-1", "OwnershipDatasetFacet", { owners: owners(dataset.owner) }) }),
  };
}

function columnsOf({ table }: { readonly table: PgTable }): PgColumn[] {
  return Object.values<PgColumn>(getTableColumns(table));
}

function facet(version: string, name: string, values: Facet): Facet {
  return { _producer: producer, _schemaURL: `${facets}/${version}/${name}.json#/$defs/${name}`, ...values };
}
