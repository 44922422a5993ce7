/**
 * Random worlds for the planner, and what must be recomputed in them by brute force.
 *
 * The oracle shares no code with the planner: a partition is an explicit set of days, a mapping a rule about such sets,
 * and the answer is found partition by partition until nothing is added any more.
 */
import { sql } from "drizzle-orm";
import { date, integer, pgTable, text } from "drizzle-orm/pg-core";
import fc from "fast-check";
import { type Catalog, defineCatalog } from "../../src/catalog/catalog.ts";
import { all, custom, type Dataset, derived, lookahead, lookback, rolling, source } from "../../src/catalog/dataset.ts";
import type { DataShape } from "../../src/catalog/definition.ts";
import type { Ranges } from "../../src/catalog/ranges.ts";
import { daily, monthly, weekly, whole } from "../../src/catalog/scheme.ts";
import type { LiveContent } from "../../src/planner/changes.ts";
import type { Fingerprints, PlannerInput } from "../../src/planner/input.ts";
import { anInput, day0 } from "./support.ts";

export type Cut = "day" | "week" | "month" | "whole";

export type Rule =
  | { readonly kind: "own" } // same or rollup, by overlap
  | { readonly kind: "lookback" | "lookahead"; readonly by: number }
  | { readonly kind: "rolling"; readonly before: number; readonly after: number }
  | { readonly kind: "all" }
  | { readonly kind: "weekBefore" }; // custom: the day itself and the same day a week before

export interface InputSpec {
  readonly from: number;
  readonly rule: Rule;
  /** Whether it reads the column that a non-breaking change touches. */
  readonly readsExtra: boolean;
}

export interface NodeSpec {
  readonly cut: Cut;
  /** Empty for a source. */
  readonly inputs: readonly InputSpec[];
}

export type Change = "none" | "breaking" | "extra";

export interface World {
  readonly nodes: readonly NodeSpec[];
  /** Days that the source has. */
  readonly days: number;
  /** Per node; sources have none. */
  readonly changes: readonly Change[];
  /** Days and datasets that are missing from the live content, or whose inputs changed, by a coin of this seed. */
  readonly seed: number;
  readonly holes: number;
  readonly dirty: number;
  /** Only what changed in this node, where given. */
  readonly named: number | undefined;
  /** Changes hold from this day on, where given. */
  readonly forward: number | undefined;
}

const coarseness: readonly Cut[] = ["day", "week", "month", "whole"];

const cuts = fc.constantFrom<Cut>("day", "day", "day", "week", "month", "whole");

function ruleFor(consumer: Cut, input: Cut): fc.Arbitrary<Rule> {
  if (consumer === "whole" || input === "whole") return fc.constantFrom<Rule>({ kind: "own" }, { kind: "all" });
  if (coarseness.indexOf(consumer) < coarseness.indexOf(input)) return fc.constant({ kind: "all" });
  const own = fc.constant<Rule>({ kind: "own" });
  const look = fc.record({ kind: fc.constantFrom("lookback", "lookahead"), by: fc.integer({ min: 1, max: 4 }) });
  const window = fc
    .record({ kind: fc.constant("rolling"), before: fc.nat(9), after: fc.nat(3) })
    .filter(({ before, after }) => before + after > 0);
  const week = consumer === "day" && input === "day" ? [fc.constant<Rule>({ kind: "weekBefore" })] : [];
  return fc.oneof(own, own, look, window, fc.constant<Rule>({ kind: "all" }), ...week) as fc.Arbitrary<Rule>;
}

function nodeAfter(before: readonly NodeSpec[]): fc.Arbitrary<NodeSpec> {
  return cuts.chain((cut) => {
    const input = fc.nat(before.length - 1).chain((from) =>
      fc.record({
        from: fc.constant(from),
        rule: ruleFor(cut, (before[from] as NodeSpec).cut),
        readsExtra: fc.boolean(),
      }),
    );
    return fc.record({ cut: fc.constant(cut), inputs: fc.array(input, { minLength: 1, maxLength: 3 }) });
  });
}

function nodesOf(count: number, before: readonly NodeSpec[]): fc.Arbitrary<readonly NodeSpec[]> {
  if (count === 0) return fc.constant(before);
  return nodeAfter(before).chain((node) => nodesOf(count - 1, [...before, node]));
}

export const worlds: fc.Arbitrary<World> = fc.integer({ min: 2, max: 6 }).chain((count) =>
  fc.record({
    nodes: nodesOf(count, [{ cut: "day", inputs: [] }]),
    days: fc.integer({ min: 1, max: 75 }),
    changes: fc.array(fc.constantFrom<Change>("none", "none", "none", "none", "none", "breaking", "extra"), {
      minLength: count + 1,
      maxLength: count + 1,
    }),
    seed: fc.integer(),
    holes: fc.constantFrom(0, 0, 0.02, 0.2),
    dirty: fc.constantFrom(0, 0.01, 0.02, 0.05),
    named: fc.option(fc.integer({ min: 1, max: count }), { nil: undefined, freq: 3 }),
    forward: fc.option(fc.nat(75), { nil: undefined, freq: 3 }),
  }),
);

// ---- days and periods, by hand ----

/** Periods are looked at this far beyond the source's days. */
const margin = 160;

function periodAt(cut: Cut, day: number): number {
  if (cut === "day") return day;
  if (cut === "week") return Math.floor((day + 3) / 7);
  if (cut === "whole") return 0;
  const time = new Date(day * 86_400_000);
  return (time.getUTCFullYear() - 1970) * 12 + time.getUTCMonth();
}

/** Every period near the source's days, with its days. */
function periodsOf(cut: Cut, days: number): Map<number, number[]> {
  const periods = new Map<number, number[]>();
  for (let day = day0 - margin; day < day0 + days + margin; day += 1) {
    const period = periodAt(cut, day);
    periods.set(period, [...(periods.get(period) ?? []), day]);
  }
  return periods;
}

type Known = readonly Map<number, number[]>[];

/** Input periods that a period of the consumer reads, whether they exist or not; "everything" for all of them. */
function readsOf(
  world: World,
  known: Known,
  consumer: number,
  input: InputSpec,
  period: number,
): number[] | "everything" {
  const { cut } = world.nodes[consumer] as NodeSpec;
  const from = (world.nodes[input.from] as NodeSpec).cut;
  const { rule } = input;
  if (rule.kind === "all" || (rule.kind === "own" && (cut === "whole" || from === "whole"))) return "everything";
  if (rule.kind === "weekBefore") return [period - 7, period];
  const reach = rule.kind === "lookback" ? [-rule.by, 0] : rule.kind === "lookahead" ? [0, rule.by] : [0, 0];
  const days: number[] = [];
  for (let at = period + (reach[0] as number); at <= period + (reach[1] as number); at += 1) {
    days.push(...(known[consumer]?.get(at) ?? []));
  }
  const read = [...new Set(days.map((day) => periodAt(from, day)))];
  if (rule.kind !== "rolling" || read.length === 0) return read;
  const [first, last] = [Math.min(...read) - rule.before, Math.max(...read) + rule.after];
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Input periods that call a period of the consumer into being; undefined where the rule does not say. */
function homeOf(
  world: World,
  known: Known,
  consumer: number,
  input: InputSpec,
  period: number,
): number[] | "any" | undefined {
  const { cut } = world.nodes[consumer] as NodeSpec;
  if (cut === "whole") return "any";
  if (input.rule.kind === "all") return undefined;
  const from = (world.nodes[input.from] as NodeSpec).cut;
  if (from === "whole") return undefined;
  if (input.rule.kind === "weekBefore") return [period - 7, period];
  return [...new Set((known[consumer]?.get(period) ?? []).map((day) => periodAt(from, day)))];
}

/** The same coin for the same words. */
function coin(seed: number, words: string, share: number): boolean {
  let hash = seed | 0;
  for (const character of words) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return ((hash >>> 8) & 0xffff) / 65_536 < share;
}

export interface Situation {
  readonly exists: readonly Set<number>[];
  readonly live: readonly Set<number>[];
  readonly dirty: readonly Set<number>[];
}

/** What exists and what of it is live, from the source's days down. */
export function situationOf(world: World): Situation {
  const known = world.nodes.map((node) => periodsOf(node.cut, world.days));
  const exists: Set<number>[] = [];
  const live: Set<number>[] = [];
  const dirty: Set<number>[] = [];
  for (const [index, node] of world.nodes.entries()) {
    const here = new Set<number>();
    if (node.inputs.length === 0) for (let day = 0; day < world.days; day += 1) here.add(day0 + day);
    for (const period of known[index]?.keys() ?? []) {
      const called = node.inputs.some((input) => {
        const homes = homeOf(world, known, index, input, period);
        if (homes === "any") return (exists[input.from]?.size ?? 0) > 0;
        return homes?.some((home) => exists[input.from]?.has(home)) === true;
      });
      if (called) here.add(period);
    }
    exists.push(here);
    const isLive = (period: number) =>
      node.inputs.length > 0 && !coin(world.seed, `hole ${index} ${period}`, world.holes);
    live.push(new Set([...here].filter(isLive)));
    const isDirty = (period: number) => coin(world.seed, `dirty ${index} ${period}`, world.dirty);
    dirty.push(new Set([...(live[index] as Set<number>)].filter(isDirty)));
  }
  return { exists, live, dirty };
}

/** Forward-only: a period of days that begins before the date keeps its old definition. */
function isBeforeForward(world: World, known: Known, node: number, period: number): boolean {
  if (world.forward === undefined || world.nodes[node]?.cut === "whole") return false;
  const first = known[node]?.get(period)?.[0];
  return first !== undefined && first < day0 + world.forward;
}

/** The least set of partitions by node that must be recomputed. */
export function oracle(world: World, { exists, live, dirty }: Situation): Set<number>[] {
  const known = world.nodes.map((node) => periodsOf(node.cut, world.days));
  const reads = world.nodes.map((node, index) =>
    node.inputs.map((input) => {
      const byPeriod = new Map<number, readonly number[]>();
      for (const period of exists[index] ?? []) {
        const found = readsOf(world, known, index, input, period);
        const all = exists[input.from] ?? new Set();
        byPeriod.set(period, found === "everything" ? [...all] : found.filter((each) => all.has(each)));
      }
      return byPeriod;
    }),
  );
  const isChanged = (node: number, period: number) =>
    world.changes[node] !== "none" && live[node]?.has(period) === true && !isBeforeForward(world, known, node, period);
  const isPending = (node: number, period: number) =>
    live[node]?.has(period) !== true || dirty[node]?.has(period) === true || isChanged(node, period);
  const isNamed = (node: number) => world.named === undefined || world.named === node;
  const readsSource = (node: number) => world.nodes[node]?.inputs.some((input) => input.from === 0) === true;
  const wanted = world.nodes.map(() => new Set<number>());
  for (let grown = true; grown; ) {
    grown = false;
    const quiet = world.nodes.map(() => new Set<number>());
    const result = world.nodes.map(() => new Set<number>());
    for (const [node, { inputs }] of world.nodes.entries()) {
      if (inputs.length === 0) continue;
      for (const period of exists[node] ?? []) {
        const touched = inputs.some((input, at) =>
          reads[node]?.[at]
            ?.get(period)
            ?.some((read) => result[input.from]?.has(read) && (input.readsExtra || !quiet[input.from]?.has(read))),
        );
        const root = (isNamed(node) && isPending(node, period)) || wanted[node]?.has(period) === true;
        if (!touched && !root) continue;
        result[node]?.add(period);
        const onlyExtra =
          !touched &&
          world.changes[node] === "extra" &&
          !readsSource(node) &&
          isChanged(node, period) &&
          dirty[node]?.has(period) !== true;
        if (onlyExtra) quiet[node]?.add(period);
      }
    }
    for (const [node, { inputs }] of world.nodes.entries()) {
      for (const period of result[node] ?? []) {
        for (const [at, input] of inputs.entries()) {
          if (input.from === 0) continue;
          for (const read of reads[node]?.[at]?.get(period) ?? []) {
            if (live[input.from]?.has(read) || result[input.from]?.has(read)) continue;
            wanted[input.from]?.add(read);
            grown = true;
          }
        }
      }
    }
    if (!grown) return result;
  }
  return wanted;
}

// ---- the same world for the planner ----

const nameOf = (index: number): string => (index === 0 ? "source" : `d${index}`);

export function catalogOf(nodes: readonly NodeSpec[]): Catalog {
  const datasets: Dataset[] = [];
  for (const [index, node] of nodes.entries()) {
    const table = pgTable(nameOf(index), {
      day: date("day").notNull(),
      value: integer("value").notNull(),
      extra: text("extra").notNull(),
    });
    const partitions = {
      day: () => daily(table.day),
      week: () => weekly(table.day),
      month: () => monthly(table.day),
      whole,
    }[node.cut]();
    if (node.inputs.length === 0) {
      datasets.push(source(table, { partitions }));
      continue;
    }
    const inputs = Object.fromEntries(
      node.inputs.map((input, at) => [`in${at}`, mappedBy(input.rule, datasets[input.from] as Dataset)]),
    );
    const select = () => sql`select day, value, extra from in0`;
    datasets.push(derived(table, { version: 1, key: [table.day], partitions, inputs, select }));
  }
  return defineCatalog({ datasets });
}

function mappedBy(rule: Rule, dataset: Dataset) {
  switch (rule.kind) {
    case "own":
      return dataset;
    case "lookback":
      return lookback(dataset, rule.by);
    case "lookahead":
      return lookahead(dataset, rule.by);
    case "rolling":
      return rolling(dataset, rule);
    case "all":
      return all(dataset);
    case "weekBefore":
      return custom(dataset, {
        name: "week before",
        upstream: (day) => [
          [day - 7, day - 6],
          [day, day + 1],
        ],
        downstream: (day) => [
          [day, day + 1],
          [day + 7, day + 8],
        ],
      });
  }
}

/** Sorted runs of numbers. */
export function rangesBy(numbers: Iterable<number>): Ranges {
  const runs: [number, number][] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === number) last[1] = number + 1;
    else runs.push([number, number + 1]);
  }
  return runs;
}

function shape(extra: string, rows: string): DataShape {
  const columns = { day: "d", value: "v", extra };
  return { transform: "select", version: 1, aspects: { statement: extra + rows }, rows, columns };
}

export function inputOf(world: World, situation: Situation, nodes: readonly NodeSpec[] = world.nodes): PlannerInput {
  const live = new Map<string, LiveContent[]>();
  const fingerprints = new Map<string, Fingerprints>();
  for (const [index, node] of nodes.entries()) {
    if (node.inputs.length === 0) continue;
    const name = nameOf(index);
    const change = world.changes[index] ?? "none";
    const partitions = rangesBy(situation.live[index] ?? []);
    live.set(name, [{ fingerprint: change === "none" ? "now" : change, partitions, readsAt: 1, promotedAt: 1 }]);
    const reads = new Map(
      node.inputs.map((input, at) => [`in${at}`, input.readsExtra ? ["value", "extra"] : ["value"]]),
    );
    fingerprints.set(name, { fingerprint: "now", definition: "d", metadata: "m", shape: shape("now", "rows"), reads });
  }
  const { named, forward } = world;
  const date = forward === undefined ? undefined : new Date((day0 + forward) * 86_400_000).toISOString().slice(0, 10);
  return anInput(catalogOf(nodes), {
    request: {
      kind: "changes",
      ...(named === undefined ? {} : { datasets: [nameOf(named)] }),
      ...(date === undefined ? {} : { forwardFrom: date }),
    },
    live,
    fingerprints,
    inputsChanged: new Map(situation.dirty.map((set, index) => [nameOf(index), rangesBy(set)])),
    extents: new Map([["source", [[day0, day0 + world.days]] as Ranges]]),
    shapes: new Map([
      ["breaking", shape("now", "other rows")],
      ["extra", shape("before", "rows")],
    ]),
  });
}
