/**
 * Lineage of a dataset or one of its partitions: a walk over the stamps, upwards through what they read and downwards
 * through who read them, as they were live at an instant. All of it under one snapshot.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset } from "../catalog/dataset.ts";
import { describePartitions, labelOf, parsePartition } from "../catalog/label.ts";
import { isEmpty, noRanges, type Ranges, size, subtract, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import type { Computed, Lineage, LineageDirection, LineageEdge, LineageNode } from "../lineage/graph.ts";
import {
  always,
  type BackfillOrigin,
  backfillOrigins,
  type Origin,
  originsAt,
  originsOf,
  type Reading,
  readersAt,
  readingsOf,
} from "../store/lineage.ts";
import { didYouMean } from "../suggest.ts";
import type { Tx } from "../tx.ts";
import type { Context } from "./context.ts";

export interface LineageInput {
  /** A source or a derived dataset. */
  readonly dataset: string;
  /** Label of one partition. Default: all that are live. */
  readonly partition?: string | undefined;
  /** Default "both". */
  readonly direction?: LineageDirection | undefined;
  /** Steps away from the dataset at most. Default: all. */
  readonly depth?: number | undefined;
  /** An ISO 8601 date or instant: what was live then. Default: now. */
  readonly asOf?: string | undefined;
}

/** Throws `not_found` for an unknown dataset or partition, `usage` for an instant that is none. */
export async function lineage({ catalog, database }: Context, input: LineageInput): Promise<Lineage> {
  const dataset = requireDataset(catalog, input.dataset);
  const { partition, direction = "both", depth = Number.POSITIVE_INFINITY } = input;
  const asOf = input.asOf === undefined ? null : instantOf(input.asOf);
  const asked = partition === undefined ? undefined : parsePartition(dataset.partitions, partition);
  return database.transaction(
    async (tx) => {
      const walk = new Walk(tx, catalog, asOf ?? always);
      const roots = await walk.begin(dataset, asked === undefined ? undefined : [[asked, asked + 1]]);
      if (direction !== "down") await walk.go("up", roots, depth);
      if (direction !== "up") await walk.go("down", roots, depth);
      const { nodes, edges } = await walk.end();
      return {
        ...{ dataset: dataset.name, asOf, direction, nodes, edges, roots: roots.map(({ id }) => id) },
        partition: asked === undefined ? null : labelOf(dataset.partitions, asked),
        exposures: direction === "up" ? [] : exposuresOf(catalog, roots, walk.readers),
      };
    },
    { isolation: "repeatable read" },
  );
}

/** More than any scheme has. */
const allPartitions: Ranges = [[-(2 ** 45), 2 ** 45]];

/** A content to go on from. */
interface Visit {
  readonly id: string;
  readonly dataset: Dataset;
  /** Null where no backfill made it. */
  readonly backfill: string | null;
  /** Null where everything was read. */
  readonly partitions: Ranges | null;
}

interface Step extends Visit {
  readonly depth: number;
}

interface Met extends Visit {
  /** As it was live at the instant of the question, where it was met that way. */
  readonly origin: Origin | undefined;
}

class Walk {
  readonly #tx: Tx;
  readonly #catalog: Catalog;
  readonly #at: string;
  readonly #met = new Map<string, Met>();
  readonly #edges = new Map<string, { readonly edge: LineageEdge; readonly ranges: Ranges | null }>();
  /** Datasets that were met on the way down. */
  readonly readers = new Set<string>();

  constructor(tx: Tx, catalog: Catalog, at: string) {
    this.#tx = tx;
    this.#catalog = catalog;
    this.#at = at;
  }

  /** The contents that are asked for. */
  async begin(dataset: Dataset, partitions: Ranges | undefined): Promise<Visit[]> {
    if (dataset.kind === "source") return [this.#meet({ dataset, backfill: null, partitions: partitions ?? null })];
    return (await this.#contents(this.#at, dataset, partitions ?? allPartitions)).filter(
      // Of all partitions those that are there, of a named one also that nobody made it.
      ({ backfill }) => backfill !== null || partitions !== undefined,
    );
  }

  /** Breadth first; a content is looked at once for each of its partitions. */
  async go(direction: "up" | "down", from: readonly Visit[], depth: number): Promise<void> {
    const done = new Map<string, Ranges>();
    const queue: Step[] = from.map((visit) => ({ ...visit, depth }));
    for (let step = queue.shift(); step !== undefined; step = queue.shift()) {
      if (step.depth <= 0) continue;
      const known = done.get(step.id) ?? noRanges;
      const partitions = subtract(step.partitions ?? allPartitions, known);
      if (isEmpty(partitions)) continue;
      done.set(step.id, union(known, partitions));
      const left = step.depth - 1;
      const next = direction === "up" ? await this.#above(step, partitions) : await this.#below(step, partitions);
      queue.push(...next.map((visit) => ({ ...visit, depth: left })));
    }
  }

  async end(): Promise<{ nodes: LineageNode[]; edges: LineageEdge[] }> {
    const backfills = [...this.#met.values()].flatMap(({ backfill }) => backfill ?? []);
    const about = await backfillOrigins(this.#tx, [...new Set(backfills)]);
    const nodes: LineageNode[] = [];
    for (const met of this.#met.values()) nodes.push(await this.#nodeOf(met, about));
    return { nodes, edges: [...this.#edges.values()].map(({ edge }) => edge) };
  }

  async #above(visit: Visit, partitions: Ranges): Promise<Visit[]> {
    if (visit.backfill === null) return [];
    const readings = await readingsOf(this.#tx, visit.backfill, visit.dataset.name, partitions);
    const found: Visit[] = [];
    for (const reading of readings) {
      for (const content of await this.#read(reading, visit.backfill)) {
        this.#link(content, visit, reading);
        found.push(content);
      }
    }
    return found;
  }

  async #below(visit: Visit, partitions: Ranges): Promise<Visit[]> {
    const { name } = visit.dataset;
    const readers = directReaders(this.#catalog, name).map((dataset) => ({
      dataset: dataset.name,
      partitions: allPartitions,
    }));
    if (readers.length === 0) return [];
    const found: Visit[] = [];
    for (const reader of await readersAt(this.#tx, this.#at, { dataset: name, partitions, readers })) {
      const dataset = this.#catalog.datasets.get(reader.reader);
      if (dataset === undefined) continue;
      const below = this.#meet({ dataset, backfill: reader.backfill, partitions: reader.readers });
      this.readers.add(dataset.name);
      found.push(below);
      for (const content of await this.#read(reader, reader.backfill)) this.#link(content, below, reader);
    }
    return found;
  }

  /** The contents behind what a backfill read. */
  async #read(reading: Reading, backfill: string): Promise<Visit[]> {
    const dataset = this.#catalog.datasets.get(reading.dataset);
    if (dataset === undefined) return [];
    const { partitions } = reading;
    if (dataset.kind === "source") return [this.#meet({ dataset, backfill: null, partitions })];
    if (reading.from === "candidate") return [this.#meet({ dataset, backfill, partitions })];
    return this.#contents(reading.readAt, dataset, partitions ?? allPartitions);
  }

  async #contents(at: string, dataset: Dataset, partitions: Ranges): Promise<Visit[]> {
    const origins = await originsAt(this.#tx, at, [{ dataset: dataset.name, partitions }]);
    const made = union(...origins.map((origin) => origin.partitions));
    const rest = subtract(partitions, made);
    return [
      ...origins.map((origin) =>
        this.#meet({ dataset, backfill: origin.backfill, partitions: origin.partitions }, origin),
      ),
      ...(isEmpty(rest) || partitions === allPartitions
        ? []
        : [this.#meet({ dataset, backfill: null, partitions: rest })]),
    ];
  }

  /** Remembers a content; one that was met before grows by the partitions. */
  #meet(content: Omit<Visit, "id">, origin?: Origin): Visit {
    const { dataset, backfill, partitions } = content;
    const id = backfill === null ? dataset.name : `${dataset.name}@${backfill}`;
    const known = this.#met.get(id);
    const all = known?.partitions === null || partitions === null;
    const grown = all ? null : union(known?.partitions ?? noRanges, partitions);
    this.#met.set(id, { id, dataset, backfill, partitions: grown, origin: known?.origin ?? origin });
    return { id, ...content };
  }

  #link(from: Visit, to: Visit, { input, from: read }: Reading): void {
    const id = `${from.id} ${to.id} ${input} ${read}`;
    const before = this.#edges.get(id);
    const everything = from.partitions === null || before?.ranges === null;
    const ranges = everything ? null : union(before?.ranges ?? noRanges, from.partitions ?? noRanges);
    const partitions = labelsOf(from.dataset, ranges);
    this.#edges.set(id, { edge: { from: from.id, to: to.id, input, read, partitions }, ranges });
  }

  async #nodeOf(met: Met, about: ReadonlyMap<string, BackfillOrigin>): Promise<LineageNode> {
    const { id, dataset, backfill, partitions } = met;
    const node = { id, dataset: dataset.name, kind: dataset.kind };
    if (backfill === null)
      return { ...node, partitions: labelsOf(dataset, partitions), ranges: partitions, computed: null };
    const [origin] = await originsOf(this.#tx, backfill, dataset.name, partitions ?? allPartitions);
    const ranges = origin?.partitions ?? partitions;
    const computed = origin === undefined ? null : computedOf(origin, met.origin, about.get(backfill));
    return { ...node, partitions: labelsOf(dataset, ranges), ranges, computed };
  }
}

/** `asked` knows the promotion that was in force at the instant of the question. */
function computedOf(origin: Origin, asked: Origin | undefined, about: BackfillOrigin | undefined): Computed {
  const { dataset, partitions, live, ...rest } = origin;
  const { promotedAt, promotedBy, promotedBecause } = asked ?? origin;
  return {
    ...rest,
    ...{ promotedAt, promotedBy, promotedBecause, confirmedBy: asked?.confirmedBy ?? null },
    version: about?.versions[dataset] ?? null,
    planHash: about?.planHash ?? "",
    requestedBy: about?.requestedBy ?? "",
    requestedBecause: about?.reason ?? "",
    live: live === 0 ? "none" : live === size(partitions) ? "all" : "some",
  };
}

function labelsOf({ partitions }: Dataset, ranges: Ranges | null): string {
  return ranges === null ? "all" : describePartitions(partitions, ranges);
}

function directReaders(catalog: Catalog, name: string): Dataset[] {
  return [...catalog.datasets.values()].filter(
    (each) => each.kind === "derived" && each.inputs.some(({ dataset }) => dataset.name === name),
  );
}

function exposuresOf(catalog: Catalog, roots: readonly Visit[], readers: ReadonlySet<string>): Lineage["exposures"] {
  const names = new Set([...roots.map(({ dataset }) => dataset.name), ...readers]);
  return catalog.exposures
    .map(({ name, criticality, reads }) => ({
      ...{ name, criticality },
      reads: reads.map((dataset) => dataset.name).filter((read) => names.has(read)),
    }))
    .filter(({ reads }) => reads.length > 0);
}

/** The dataset, or `not_found` with what else may be meant. */
export function requireDataset(catalog: Catalog, name: string): Dataset {
  const found = catalog.datasets.get(name);
  if (found !== undefined) return found;
  const hint = didYouMean(name, catalog.datasets.keys());
  throw new RederiveError(
    "not_found",
    `there is no dataset ${JSON.stringify(name.slice(0, 80))} in the catalog${hint}`,
  );
}

/** As Postgres keeps it, to the microsecond: what was promoted within the same millisecond is told apart. */
function instantOf(text: string): string {
  const at = /^\d{4}-\d{2}-\d{2}(T|$)/.test(text) ? Date.parse(text) : Number.NaN;
  const microseconds = /\.\d{3}(\d{1,3})/.exec(text)?.[1] ?? "";
  if (!Number.isNaN(at)) return new Date(at).toISOString().replace("Z", `${microseconds}Z`);
  throw new RederiveError("usage", `"${text.slice(0, 40)}" is no instant; write 2026-01-31 or 2026-01-31T12:00:00Z`);
}
