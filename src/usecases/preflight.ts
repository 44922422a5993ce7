/**
 * Preflight: what is looked at before anybody approves a plan. It is asked when the plan is made, kept with its forecast,
 * and asked again of a stored one by whoever wants to know whether it still holds.
 *
 * 1. Schema: can everybody still read what they read? If not, the plan stops here, and the readers are named.
 * 2. What changed in the tables since a run last started, and who reads what will go away.
 * 3. What is in the sources, by a few cheap looks, and whether there is room for what is going to be written.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { recomputeSteps, type Step } from "../plan.ts";
import type { DatasetShape } from "../planner/compatibility.ts";
import { deprecationFindings } from "../planner/deprecations.ts";
import { driftOf } from "../planner/drift.ts";
import { derivedInOrder, type PartitionMap } from "../planner/impact.ts";
import type { TaskSpeed } from "../planner/input.ts";
import { count } from "../planner/labels.ts";
import { bySeverity, refuseStopped } from "../planner/preflight.ts";
import type { Preflight, PreflightFinding, PreflightReport } from "../report.ts";
import { decisionOf } from "../store/backfills.ts";
import { taskSpeeds } from "../store/status.ts";
import { keepShapes } from "../store/table-shapes.ts";
import type { Database, Tx } from "../tx.ts";
import { brokenAssumptions } from "../validation/assumptions.ts";
import { describeTransform } from "../warehouse/describe.ts";
import { extentOf } from "../warehouse/extent.ts";
import { readsOfInputs } from "../warehouse/fingerprint.ts";
import { type Shapes, schemaFindings, shapesOf } from "./compatibility.ts";
import { type Context, requireBackfill } from "./context.ts";
import { lookAtRoom } from "./room.ts";
import { lookAtSources } from "./source-data.ts";

/** The tables of the catalog, after nobody was found who cannot read them. Throws `plan_refused`, naming who cannot. */
export async function requireCompatible(tx: Tx, catalog: Catalog): Promise<Shapes> {
  const shapes = await shapesOf(tx, catalog);
  refuseStopped(await schemaFindings(tx, catalog, shapes), "the schema does not fit those who read it");
  return shapes;
}

/** What a plan is about, for a preflight of it. */
export interface Subject {
  readonly catalog: Catalog;
  readonly steps: readonly Step[];
  readonly shapes: Shapes;
  /** The partitions that each source has. */
  readonly extents: PartitionMap;
  readonly speeds: ReadonlyMap<string, TaskSpeed>;
  readonly maxCandidateBytes: number | undefined;
}

/** Of tables that everybody can read. */
export async function preflightOf(database: Database, subject: Subject): Promise<Preflight> {
  const { catalog, steps, shapes } = subject;
  const datasets = datasetsOf(catalog, steps);
  const findings = [
    ...shapesIn(shapes, datasets).flatMap(driftOf),
    ...(await database.transaction((tx) => deprecationsOf(tx, catalog, datasets))),
  ];
  const sources = await lookAtSources(database, subject);
  const room = await lookAtRoom(database, subject);
  return {
    findings: bySeverity([...findings, ...sources.findings, ...room.findings]),
    looked: [tablesLookedAt(shapes), ...sources.looked, ...room.looked],
  };
}

/** Asks again what was asked when a backfill was planned. Changes nothing. */
export async function preflight(context: Context, id: string): Promise<PreflightReport> {
  const { catalog, database, settings } = context;
  const row = await requireBackfill(database, id);
  const { steps } = decisionOf(row);
  const { shapes, incompatible } = await abandoned(database, async (tx) => {
    const all = await shapesOf(tx, catalog);
    return { shapes: all, incompatible: await schemaFindings(tx, catalog, all) };
  });
  // Nothing more can be asked of tables that cannot be read.
  if (incompatible.length > 0) {
    return { backfill: id, stopped: true, findings: incompatible, looked: [tablesLookedAt(shapes)] };
  }
  const broken = await database.transaction((tx) => assumptionsOf(tx, catalog, steps));
  const extents = await extentsOf(database, datasetsOf(catalog, steps));
  const speeds = await taskSpeeds(database, [...catalog.datasets.keys()]);
  const { maxCandidateBytes } = settings;
  const rest = await preflightOf(database, { catalog, steps, shapes, extents, speeds, maxCandidateBytes });
  const findings = bySeverity([...broken, ...rest.findings]);
  return { backfill: id, stopped: findings.some(({ severity }) => severity === "stop"), findings, looked: rest.looked };
}

/** The transaction is given up whatever comes out: a driver may refuse to commit one in which a statement failed. */
async function abandoned<Result>(database: Database, work: (tx: Tx) => Promise<Result>): Promise<Result> {
  const ended: { result?: Result } = {};
  const enough = new Error("read enough");
  try {
    await database.transaction(
      async (tx) => {
        ended.result = await work(tx);
        throw enough;
      },
      { isolation: "repeatable read" },
    );
  } catch (error) {
    if (error !== enough) throw error;
  }
  return ended.result as Result;
}

/** What the tables of a plan look like when it starts: what is drift later is told by it. */
export async function rememberShapes(
  tx: Tx,
  id: string,
  subject: Pick<Subject, "catalog" | "steps" | "shapes">,
): Promise<void> {
  const datasets = datasetsOf(subject.catalog, subject.steps);
  const columns = shapesIn(subject.shapes, datasets).map(({ dataset, live }) => [dataset, live] as const);
  await keepShapes(tx, id, new Map(columns));
}

/** What a plan writes and what it reads; what it leaves alone is not looked at. */
function datasetsOf(catalog: Catalog, steps: readonly Step[]): Dataset[] {
  const names = new Set(steps.filter(({ action }) => action !== "skip").map(({ dataset }) => dataset));
  for (const { dataset } of recomputeSteps({ steps })) {
    const derived = catalog.datasets.get(dataset);
    if (derived?.kind === "derived") for (const input of derived.inputs) names.add(input.dataset.name);
  }
  return catalog.order.flatMap((name) => (names.has(name) ? (catalog.datasets.get(name) ?? []) : []));
}

async function extentsOf(tx: Tx, datasets: readonly Dataset[]): Promise<Map<string, Ranges>> {
  const extents = new Map<string, Ranges>();
  for (const dataset of datasets) {
    if (dataset.kind === "source") extents.set(dataset.name, await extentOf(tx, dataset));
  }
  return extents;
}

function tablesLookedAt(shapes: Shapes): string {
  return `the columns of ${count(shapes.size, "table")}`;
}

function shapesIn(shapes: Shapes, datasets: readonly Dataset[]): DatasetShape[] {
  return datasets.flatMap(({ name }) => shapes.get(name) ?? []);
}

async function deprecationsOf(tx: Tx, catalog: Catalog, datasets: readonly Dataset[]): Promise<PreflightFinding[]> {
  const names = new Set(datasets.map(({ name }) => name));
  const readers = derivedInOrder(catalog).filter(
    ({ name, inputs }) => names.has(name) && inputs.some(({ dataset }) => (dataset.deprecatedColumns ?? []).length > 0),
  );
  const reads = new Map<string, ReadonlyMap<string, readonly string[] | null>>();
  for (const reader of readers) reads.set(reader.name, readsOfInputs(reader, await describeTransform(tx, reader)));
  return deprecationFindings({
    catalog,
    datasets: names,
    readsOf: ({ name }) => reads.get(name) ?? new Map(),
    today: new Date().toISOString().slice(0, 10),
  });
}

async function assumptionsOf(tx: Tx, catalog: Catalog, steps: readonly Step[]): Promise<PreflightFinding[]> {
  const datasets = recomputeSteps({ steps }).flatMap(({ dataset }) => catalog.datasets.get(dataset) ?? []);
  const broken = await brokenAssumptions(tx, datasets);
  return broken.map(({ dataset, description, failures, sql }) => ({
    code: "assumption_broken",
    severity: "stop",
    dataset,
    what: `${dataset} assumes "${description}"`,
    seen: `${count(failures, "row")} of: ${sql}`,
    mitigation: "mend the data, or change the definition so that it does not rest on this any more",
  }));
}
