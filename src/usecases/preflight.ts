/**
 * Preflight: what is looked at before anybody approves a plan. It is asked when the plan is made, kept with its forecast,
 * and asked again of a stored one by whoever wants to know whether it still holds.
 *
 * 1. Schema: can everybody still read what they read? If not, the plan stops here, and the readers are named.
 * 2. What changed in the tables since a run last started, and who reads what will go away.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { recomputeSteps, type Step } from "../plan.ts";
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
import type { Tx } from "../tx.ts";
import { brokenAssumptions } from "../validation/assumptions.ts";
import { describeTransform } from "../warehouse/describe.ts";
import { extentOf } from "../warehouse/extent.ts";
import { readsOfInputs } from "../warehouse/fingerprint.ts";
import { type Shapes, schemaFindings, shapesOf } from "./compatibility.ts";
import { type Context, requireBackfill } from "./context.ts";

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
}

/** Of tables that everybody can read. */
export async function preflightOf(tx: Tx, subject: Subject): Promise<Preflight> {
  const { catalog, steps, shapes } = subject;
  const datasets = datasetsOf(catalog, steps);
  const findings = [
    ...datasets.flatMap(({ name }) => driftOf(shapes.get(name) ?? missingShape(name))),
    ...(await deprecationsOf(tx, catalog, datasets)),
  ];
  return { findings: bySeverity(findings), looked: [`the columns of ${count(shapes.size, "table")}`] };
}

/** Asks again what was asked when a backfill was planned. Changes nothing. */
export async function preflight(context: Context, id: string): Promise<PreflightReport> {
  const { catalog, database } = context;
  const row = await requireBackfill(database, id);
  const { steps } = decisionOf(row);
  const found = await database.transaction(
    async (tx) => {
      const shapes = await shapesOf(tx, catalog);
      const looked = [`the columns of ${count(shapes.size, "table")}`];
      const incompatible = await schemaFindings(tx, catalog, shapes);
      // Nothing more can be asked of tables that cannot be read.
      if (incompatible.length > 0) return { findings: incompatible, looked };
      const broken = await assumptionsOf(tx, catalog, steps);
      const extents = await extentsOf(tx, datasetsOf(catalog, steps));
      const speeds = await taskSpeeds(tx, [...catalog.datasets.keys()]);
      const rest = await preflightOf(tx, { catalog, steps, shapes, extents, speeds });
      return { findings: bySeverity([...broken, ...rest.findings]), looked: rest.looked };
    },
    { isolation: "repeatable read" },
  );
  return { backfill: id, stopped: found.findings.some(({ severity }) => severity === "stop"), ...found };
}

/** What the tables of a plan look like when it starts: what is drift later is told by it. */
export async function rememberShapes(
  tx: Tx,
  id: string,
  subject: Pick<Subject, "catalog" | "steps" | "shapes">,
): Promise<void> {
  const datasets = datasetsOf(subject.catalog, subject.steps);
  const columns = datasets.map(({ name }) => [name, subject.shapes.get(name)?.live ?? []] as const);
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

function missingShape(dataset: string): Parameters<typeof driftOf>[0] {
  return { dataset, table: dataset, declared: [], hidden: [], live: [] };
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
