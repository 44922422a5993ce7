/**
 * From the ranges of a decision to tasks and edges.
 *
 * A task is numbered by its dataset and its place in the recomputed ranges. What a task reads is kept as intervals of
 * such numbers, which makes counting cheap and lets a plan that is too large be refused before anything is expanded.
 * Ranks are a depth-first post-order: producers before consumers, a consumer right after the last producer that it
 * still waited for, so a bounded window of tasks always holds consumers together with what they need. Pure.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { type MappedEdge, upstreamOf } from "../catalog/mapping.ts";
import { intersect, ordinalsOf, type Range, type Ranges, size } from "../catalog/ranges.ts";
import type { Decision, Phase, RecomputeStep } from "../plan.ts";
import { recomputeSteps } from "../plan.ts";
import { derivedInputs, edgeOf } from "./impact.ts";
import { refuseTooManyEdges, refuseTooManyTasks, requireDerived } from "./refuse.ts";

export interface PlannedTask {
  readonly dataset: string;
  readonly partition: number;
  /** Place in the release order, from 0; also the index in `tasks`. */
  readonly rank: number;
}

/** A consumer needs its producer's output. Both are ranks. */
export interface PlannedEdge {
  readonly producer: number;
  readonly consumer: number;
}

/** Tasks of a phase are ranked together; the next phase begins where they end. */
export interface PlannedPhase {
  readonly name: string;
  readonly gate: Phase["gate"];
  readonly firstRank: number;
  readonly tasks: number;
}

export interface TaskGraph {
  readonly tasks: readonly PlannedTask[];
  readonly edges: readonly PlannedEdge[];
  /** None where everything runs at once. */
  readonly phases: readonly PlannedPhase[];
}

export interface TaskLimits {
  /** Default 1,000,000. */
  readonly maxTasks?: number;
  /** Default five for every task allowed. */
  readonly maxEdges?: number;
}

/** What of a decision makes its tasks. */
type Planned = Pick<Decision, "steps" | "request" | "phases">;

export const defaultMaxTasks = 1_000_000;

/** Recomputed partitions of one dataset; `first` is the number of the first of its tasks. */
interface Block {
  readonly step: RecomputeStep;
  readonly derived: Derived;
  readonly first: number;
  readonly slots: Slots;
}

/** The graph before it is ranked. What task i reads are intervals `pointers[i]` to `pointers[i + 1]`. */
interface Links {
  readonly blocks: readonly Block[];
  readonly total: number;
  readonly edgeCount: number;
  readonly pointers: Uint32Array;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** All tasks in rank order with the edges between them. Refuses with `plan_too_large` before it expands. */
export function expandTasks(catalog: Catalog, decision: Planned, limits: TaskLimits = {}): TaskGraph {
  const links = linkTasks(catalog, decision, limits);
  const newestFirst = decision.request.order === "newest";
  const depthFirst = rankOrder(links, rootsInOrder(links, newestFirst), newestFirst);
  const { order, phases } = inPhases(links, decision.phases ?? [], depthFirst);
  return { tasks: tasksOf(links, order), edges: edgesOf(links, order), phases };
}

/** How many tasks and edges a decision has. Refuses with `plan_too_large` where that is over the limits. */
export function countTasks(
  catalog: Catalog,
  decision: Planned,
  limits: TaskLimits = {},
): { tasks: number; edges: number } {
  const { total, edgeCount } = linkTasks(catalog, decision, limits);
  return { tasks: total, edges: edgeCount };
}

function linkTasks(catalog: Catalog, decision: Planned, limits: TaskLimits): Links {
  const maxTasks = limits.maxTasks ?? defaultMaxTasks;
  const maxEdges = limits.maxEdges ?? 5 * maxTasks;
  const steps = recomputeSteps(decision);
  const total = steps.reduce((sum, step) => sum + size(step.partitions), 0);
  if (total > maxTasks) refuseTooManyTasks(catalog, steps, total, maxTasks);
  const blocks = blocksOf(catalog, steps);
  const byName = new Map(blocks.map((block) => [block.step.dataset, block]));
  const pointers = new Uint32Array(total + 1);
  const starts: number[] = [];
  const ends: number[] = [];
  let edgeCount = 0;
  for (const block of blocks) {
    const readers = readersFor(block, byName);
    let task = block.first;
    for (const ordinal of ordinalsOf(block.step.partitions)) {
      for (const { producer, reads } of readers) {
        for (const range of reads(ordinal)) {
          const [start, end] = producer.slots.interval(range);
          starts.push(producer.first + start);
          ends.push(producer.first + end);
          edgeCount += end - start;
          if (edgeCount > maxEdges) refuseTooManyEdges(edgeCount, maxEdges, block.step.dataset, producer.step.dataset);
        }
      }
      task += 1;
      pointers[task] = starts.length;
    }
  }
  return { blocks, total, edgeCount, pointers, starts, ends };
}

function blocksOf(catalog: Catalog, steps: readonly RecomputeStep[]): Block[] {
  let first = 0;
  return steps.map((step) => {
    const block = { step, derived: requireDerived(catalog, step.dataset), first, slots: new Slots(step.partitions) };
    first += size(step.partitions);
    return block;
  });
}

interface Reader {
  readonly producer: Block;
  /** The recomputed partitions of the producer that one partition of the consumer reads. */
  readonly reads: (ordinal: number) => Ranges;
}

/**
 * What the partitions of a block read from each recomputed dataset. Two inputs may come from the same dataset; their
 * reads are united so that a pair of tasks has one edge.
 */
function readersFor(block: Block, byName: ReadonlyMap<string, Block>): Reader[] {
  const edges = new Map<Block, MappedEdge[]>();
  for (const input of derivedInputs(block.derived)) {
    const producer = byName.get(input.dataset.name);
    if (producer === undefined) continue;
    edges.set(producer, [...(edges.get(producer) ?? []), edgeOf(block.derived, input)]);
  }
  return [...edges].map(([producer, list]) => ({ producer, reads: readsFrom(producer.step.partitions, list) }));
}

function readsFrom(recomputed: Ranges, edges: readonly MappedEdge[]): (ordinal: number) => Ranges {
  const [edge] = edges;
  if (edge === undefined || edges.length > 1) {
    return (ordinal) => intersect(mergeReads(edges, [[ordinal, ordinal + 1]], recomputed), recomputed);
  }
  // Every consumer partition reads the same set, which may be long: it is found once.
  if (edge.mapping.kind === "all") return () => recomputed;
  return (ordinal) => clip(upstreamOf(edge, [[ordinal, ordinal + 1]], recomputed), recomputed);
}

function mergeReads(edges: readonly MappedEdge[], partitions: Ranges, recomputed: Ranges): Ranges {
  const ranges = edges.flatMap((edge) => upstreamOf(edge, partitions, recomputed));
  ranges.sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [from, to] of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

/** `intersect` walks both sets; a single range is found in a long set by bisection. */
function clip(reads: Ranges, recomputed: Ranges): Ranges {
  return reads.length === 1 && recomputed.length > 8
    ? clipOne(reads[0] as Range, recomputed)
    : intersect(reads, recomputed);
}

function clipOne([from, to]: Range, recomputed: Ranges): Ranges {
  const result: Range[] = [];
  for (let index = firstEndingAfter(recomputed, from); index < recomputed.length; index += 1) {
    const [start, end] = recomputed[index] as Range;
    if (start >= to) break;
    result.push([Math.max(start, from), Math.min(end, to)]);
  }
  return result;
}

function firstEndingAfter(ranges: Ranges, ordinal: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle] as Range)[1] <= ordinal) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place of an ordinal within a set of ranges, counted from 0. */
class Slots {
  #ranges: Ranges;
  #before: readonly number[];

  constructor(ranges: Ranges) {
    this.#ranges = ranges;
    let sum = 0;
    this.#before = ranges.map(([from, to]) => {
      const before = sum;
      sum += to - from;
      return before;
    });
  }

  /** The places of a range that lies within one of the ranges. */
  interval([from, to]: Range): [start: number, end: number] {
    const index = firstEndingAfter(this.#ranges, from);
    const start = (this.#before[index] as number) + from - (this.#ranges[index] as Range)[0];
    return [start, start + to - from];
  }
}

/**
 * Tasks that no other task reads: the ends of the graph, most critical datasets first, then topology, then partition, the
 * oldest first unless the newest were asked for. Partitions without an order keep theirs.
 */
function rootsInOrder(links: Links, newestFirst: boolean): number[] {
  const read = new Uint8Array(links.total);
  for (let index = 0; index < links.starts.length; index += 1) read.fill(1, links.starts[index], links.ends[index]);
  const blocks = [...links.blocks].sort((a, b) => b.step.criticality - a.step.criticality || a.first - b.first);
  const roots: number[] = [];
  for (const { first, step, derived } of blocks) {
    const total = size(step.partitions);
    const ordered = derived.partitions.kind === "time" || derived.partitions.kind === "range";
    const backwards = ordered && newestFirst;
    for (let place = 0; place < total; place += 1) {
      const task = backwards ? first + total - 1 - place : first + place;
      if (read[task] === 0) roots.push(task);
    }
  }
  return roots;
}

/** Post-order over what each root reads, without recursion: `order[rank]` is a task. */
function rankOrder(links: Links, roots: readonly number[], newestFirst: boolean): Uint32Array {
  const order = new Uint32Array(links.total);
  const seen = new Uint8Array(links.total);
  let rank = 0;
  const stack: Visit[] = [];
  const enter = (task: number) => {
    seen[task] = 1;
    stack.push({ task, interval: 0, next: 0 });
  };
  for (const root of roots) {
    if (seen[root] === 0) enter(root);
    for (let visit = stack.at(-1); visit !== undefined; visit = stack.at(-1)) {
      const producer = nextProducer(links, visit, seen, newestFirst);
      if (producer >= 0) {
        enter(producer);
        continue;
      }
      order[rank] = visit.task;
      rank += 1;
      stack.pop();
    }
  }
  return order;
}

/** The same order phase by phase. No task comes in an earlier phase than what it reads, so producers stay before consumers. */
function inPhases(
  links: Links,
  phases: readonly Phase[],
  depthFirst: Uint32Array,
): { order: Uint32Array; phases: PlannedPhase[] } {
  if (phases.length === 0) return { order: depthFirst, phases: [] };
  const phaseOf = phaseOfTasks(links, phases);
  const parts = phases.map((_, index) => depthFirst.filter((task) => phaseOf[task] === index));
  const order = new Uint32Array(links.total);
  let firstRank = 0;
  const planned = phases.map(({ name, gate }, index) => {
    const part = parts[index] as Uint32Array;
    order.set(part, firstRank);
    const phase = { name, gate, firstRank, tasks: part.length };
    firstRank += part.length;
    return phase;
  });
  return { order, phases: planned };
}

function phaseOfTasks({ blocks, total }: Links, phases: readonly Phase[]): Uint8Array {
  const byName = new Map(blocks.map((block) => [block.step.dataset, block]));
  const phaseOf = new Uint8Array(total);
  for (const [index, { partitions }] of phases.entries()) {
    for (const { dataset, partitions: ranges } of partitions) {
      const { first, slots } = byName.get(dataset) as Block;
      for (const range of ranges) {
        const [start, end] = slots.interval(range);
        phaseOf.fill(index, first + start, first + end);
      }
    }
  }
  return phaseOf;
}

/** How many of a task's intervals, and of the present one's producers, are behind. */
interface Visit {
  readonly task: number;
  interval: number;
  next: number;
}

/** Moves a visit on to its next producer that was not seen yet, from either end; -1 when there is none. */
function nextProducer(links: Links, visit: Visit, seen: Uint8Array, newestFirst: boolean): number {
  const first = links.pointers[visit.task] as number;
  const count = (links.pointers[visit.task + 1] as number) - first;
  while (visit.interval < count) {
    const interval = newestFirst ? first + count - 1 - visit.interval : first + visit.interval;
    const start = links.starts[interval] as number;
    const length = (links.ends[interval] as number) - start;
    while (visit.next < length) {
      const producer = newestFirst ? start + length - 1 - visit.next : start + visit.next;
      visit.next += 1;
      if (seen[producer] === 0) return producer;
    }
    visit.interval += 1;
    visit.next = 0;
  }
  return -1;
}

function tasksOf(links: Links, order: Uint32Array): PlannedTask[] {
  const ranks = ranksOf(order);
  const tasks = new Array<PlannedTask>(links.total);
  for (const { first, step } of links.blocks) {
    let task = first;
    for (const partition of ordinalsOf(step.partitions)) {
      const rank = ranks[task] as number;
      tasks[rank] = { dataset: step.dataset, partition, rank };
      task += 1;
    }
  }
  return tasks;
}

function edgesOf(links: Links, order: Uint32Array): PlannedEdge[] {
  const ranks = ranksOf(order);
  const edges: PlannedEdge[] = [];
  for (let consumer = 0; consumer < order.length; consumer += 1) {
    const task = order[consumer] as number;
    for (let index = links.pointers[task] as number; index < (links.pointers[task + 1] as number); index += 1) {
      for (let producer = links.starts[index] as number; producer < (links.ends[index] as number); producer += 1) {
        edges.push({ producer: ranks[producer] as number, consumer });
      }
    }
  }
  return edges;
}

function ranksOf(order: Uint32Array): Uint32Array {
  const ranks = new Uint32Array(order.length);
  for (let rank = 0; rank < order.length; rank += 1) ranks[order[rank] as number] = rank;
  return ranks;
}
