/**
 * Whose datasets a person sees. Where a role is limited to owner groups, its people see and touch the datasets and exposures
 * that their groups own, or nobody; the rest is not there for them: it is absent from lists, from records inside of others and from
 * texts. Pure. `reach` says of every use case what that means for it, so that none can be added without saying so.
 */
import { getTableConfig } from "drizzle-orm/pg-core";
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset } from "../catalog/dataset.ts";
import { isRederiveError, RederiveError } from "../errors.ts";
import type { Lineage, LineageEdge, LineageNode } from "../lineage/graph.ts";
import { candidateSchema, candidateStem, restoreSchema } from "../warehouse/candidate.ts";
import { type Fields, isData, isFields } from "./data-fields.ts";
import type { Actor, Role, UseCase } from "./roles.ts";

/** What a limited person sees of a catalog. */
export interface Sight {
  /** Names of their datasets. */
  readonly datasets: ReadonlySet<string>;
  /** Names of their exposures. */
  readonly exposures: ReadonlySet<string>;
  /** Names of what others own, of its tables and of their candidates. A name that is theirs as well is not among them. */
  readonly hidden: ReadonlySet<string>;
  /** Words of theirs that stay where they stand alone, although a hidden name is in them: columns and checks. */
  readonly whole: ReadonlySet<string>;
  /** Finds all names in a text, theirs and hidden ones, longest first; also within identifiers that are made of them. */
  readonly names: RegExp;
}

/**
 * `seen`: what it gives is about their datasets alone. `touched`: of a backfill they need all that it recomputes.
 * `everything`: it cannot be cut to some datasets, so it is not for limited people.
 */
export type Reach = "seen" | "touched" | "everything";

export const reach = {
  "catalog.read": "seen",
  "backfill.read": "seen",
  "backfill.diff": "seen",
  "baseline.read": "seen",
  "check.read": "seen",
  "lineage.read": "seen",
  "lineage.rows": "seen",
  "exposure.read": "seen",
  "limit.read": "seen",
  // Jobs and samples are named after datasets, by programs that are not ours.
  "queue.read": "everything",
  "metrics.read": "everything",
  "plan.preview": "seen",
  "backfill.plan": "touched",
  "backfill.preflight": "seen",
  "backfill.start": "touched",
  "backfill.pause": "touched",
  "backfill.resume": "touched",
  "backfill.cancel": "touched",
  "backfill.finalize": "touched",
  "backfill.retry": "touched",
  "check.run": "touched",
  "baseline.capture": "touched",
  "limit.set": "touched",
  "doctor.run": "everything",
  "baseline.decide": "touched",
  "phase.approve": "touched",
  "approval.read": "seen",
  "approval.comment": "seen",
  "approval.approve": "touched",
  "approval.request_changes": "touched",
  "approval.withdraw": "seen",
  "backfill.promote": "touched",
  "backfill.rollback": "touched",
  "window.override": "everything",
  "audit.read": "seen",
  // A verdict is about numbers and hashes.
  "audit.verify": "seen",
  "audit.export": "everything",
  "audit.checkpoint": "everything",
  "audit.prune": "everything",
  "session.read": "seen",
  "identity.read": "everything",
  "identity.disable": "everything",
  "token.read": "everything",
  "token.create": "everything",
  "token.revoke": "everything",
} as const satisfies Readonly<Record<UseCase, Reach>>;

/** What stands in the place of a name that is not theirs. */
export const outside = "(outside your datasets)";

/** Of a large catalog it takes some milliseconds, and is asked with every request. */
const sights = new WeakMap<Catalog, Map<string, Sight>>();
const mostSights = 200;

/** Undefined where the actor sees everything. */
export function sightOf(actor: Actor, limitedRoles: readonly Role[], catalog: Catalog): Sight | undefined {
  const { groups } = actor;
  if (groups === undefined || !limitedRoles.includes(actor.role)) return undefined;
  const known = sights.get(catalog) ?? new Map<string, Sight>();
  sights.set(catalog, known);
  const key = JSON.stringify([...groups].sort());
  const sight = known.get(key) ?? sightOfGroups(groups, catalog);
  if (known.size >= mostSights) known.clear();
  known.set(key, sight);
  return sight;
}

function sightOfGroups(groups: readonly string[], catalog: Catalog): Sight {
  // What nobody owns is everybody's: most sources are, and who wants a dataset out of sight says whose it is.
  const isTheirs = ({ owner }: { readonly owner?: string | undefined }) =>
    owner === undefined || groups.includes(owner);
  const all = [...catalog.datasets.values()];
  const mine = all.filter(isTheirs);
  const datasets = new Set(mine.map(({ name }) => name));
  const exposures = new Set(catalog.exposures.filter(isTheirs).map(({ name }) => name));
  const known = new Set([...datasets, ...exposures, ...mine.flatMap(tableNames)]);
  const others = [
    ...all.filter((dataset) => !isTheirs(dataset)).flatMap((dataset) => [dataset.name, ...tableNames(dataset)]),
    ...catalog.exposures.filter((exposure) => !isTheirs(exposure)).map(({ name }) => name),
  ];
  const hidden = new Set(others.filter((name) => !known.has(name)));
  const words = [candidateSchema, restoreSchema, ...mine.flatMap(wordsOf)];
  const whole = new Set(words.filter((word) => !hidden.has(word)));
  return { datasets, exposures, hidden, whole, names: patternOf([...known, ...hidden]) };
}

/** Of the table that a dataset is in, and of those that its backfills make. */
function tableNames({ name: dataset, table }: Pick<Dataset, "name" | "table">): string[] {
  const { schema, name } = getTableConfig(table);
  return [name, `${schema ?? "public"}.${name}`, candidateStem(dataset)];
}

/** What a dataset calls its columns and checks. */
function wordsOf(dataset: Dataset): string[] {
  const { columns } = getTableConfig(dataset.table);
  const checks = dataset.kind === "source" ? [] : dataset.checks;
  return [...columns, ...checks].map(({ name }) => name);
}

/**
 * A longer name is found before one that it contains, so that theirs stay whole where another is a part of them. Candidates
 * and constraints are called after their tables, with underscores between, so a name ends at an underscore too.
 */
function patternOf(names: readonly string[]): RegExp {
  const longestFirst = [...names].sort((one, other) => other.length - one.length);
  const all = longestFirst.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("|");
  return new RegExp(`(?<![^\\W_])(?:${all})(?![^\\W_])`, "g");
}

/** The catalog without what others own: their inputs are gone, and so are exposures and readers of other people. */
export function catalogInSight(sight: Sight, catalog: Catalog): Catalog {
  const isSeen = ({ name }: { readonly name: string }) => sight.datasets.has(name);
  const datasets = [...catalog.datasets.values()].filter(isSeen).map((dataset) => {
    if (dataset.kind === "source") return dataset;
    return { ...dataset, inputs: dataset.inputs.filter((input) => isSeen(input.dataset)) };
  });
  return {
    datasets: new Map(datasets.map((dataset) => [dataset.name, dataset] as const)),
    order: catalog.order.filter((name) => sight.datasets.has(name)),
    exposures: catalog.exposures
      .filter(({ name }) => sight.exposures.has(name))
      .map((exposure) => ({ ...exposure, reads: exposure.reads.filter(isSeen) })),
    resources: {},
    downstream: (name) => catalog.downstream(name).filter((each) => sight.datasets.has(each)),
    criticalityOf: (name) => catalog.criticalityOf(name),
  };
}

/**
 * An answer without what is not theirs: entries about it are gone, and its name is in no text. What rows hold, and what
 * columns are called, stays as it is, also where a value happens to be the name of somebody's dataset.
 */
export function inSight<Answer>(sight: Sight, answer: Answer): Answer {
  const cut = isLineage(answer) ? lineageInSight(sight, answer) : answer;
  return seen(sight, cut, "", {}) as Answer;
}

/** The same of a refusal. */
export function errorInSight(sight: Sight, error: unknown): unknown {
  if (!isRederiveError(error)) return error;
  const details = inSight(sight, error.details);
  return new RederiveError(error.code, textInSight(sight, error.message), { details, cause: error.cause });
}

function seen(sight: Sight, value: unknown, key: string, parent: Fields): unknown {
  if (isData(key, value, parent)) return value;
  if (typeof value === "string") return textInSight(sight, value);
  if (Array.isArray(value)) {
    return value.filter((each) => !isOfOthers(sight, each)).map((each) => seen(sight, each, "", {}));
  }
  if (!isFields(value)) return value;
  const isByDataset = recordFields.has(key);
  const kept = Object.entries(value).filter(
    ([name, each]) => !(isByDataset && sight.hidden.has(name)) && (isData(name, each, value) || !isUnseen(sight, each)),
  );
  // By dataset, labels are labels all the same.
  const holds = (name: string) => (key === "partitions" ? key : name);
  return Object.fromEntries(kept.map(([name, each]) => [name, seen(sight, each, holds(name), value)]));
}

/** Of an object in an object, which is no entry of a list. */
function isUnseen(sight: Sight, value: unknown): boolean {
  return isFields(value) && isOfOthers(sight, value);
}

/** Records with a field for each dataset. */
const recordFields: ReadonlySet<string> = new Set(["datasets", "partitions", "missing"]);

/** Whether an entry of a list is a name of somebody else's thing, or is about one. */
function isOfOthers(sight: Sight, value: unknown): boolean {
  const { datasets, hidden } = sight;
  if (typeof value === "string") return isNameOfOthers(sight, value);
  if (!isFields(value)) return false;
  const { dataset, exposure, reader } = value;
  // Of a dataset that the catalog does not have any more nobody knows whose it was.
  if (typeof dataset === "string" && dataset !== outside && !datasets.has(dataset)) return true;
  const name = isData("name", value["name"], value) ? undefined : value["name"];
  return [exposure, reader, name].some((each) => typeof each === "string" && hidden.has(each));
}

/** `zebra`, or a column of it as `zebra.id`. Names may have dots themselves, so the longest that is known decides. */
function isNameOfOthers({ datasets, exposures, hidden }: Sight, text: string): boolean {
  for (let end = text.length; end > 0; end = text.lastIndexOf(".", end - 1)) {
    const name = text.slice(0, end);
    if (hidden.has(name)) return true;
    if (datasets.has(name) || exposures.has(name)) return false;
  }
  return false;
}

function textInSight({ hidden, whole, names }: Sight, text: string): string {
  if (hidden.size === 0) return text;
  const isCut = (name: string, at: number) => hidden.has(name) && !whole.has(identifierAround(text, name, at));
  return text.replace(names, (name, at: number) => (isCut(name, at) ? outside : name)).replace(identifierRest, outside);
}

/** Identifiers of Postgres have 63 characters at most. */
function identifierAround(text: string, name: string, at: number): string {
  const end = at + name.length;
  const [before = ""] = /\w*$/.exec(text.slice(Math.max(0, at - 63), at)) ?? [];
  const [after = ""] = /^\w*/.exec(text.slice(end, end + 63)) ?? [];
  return `${before}${name}${after}`;
}

/** What stood behind a name in the same identifier: columns of its table, or the backfill of a candidate. */
const identifierRest = /\(outside your datasets\)_\w*/g;

function isLineage(answer: unknown): answer is Lineage {
  return isFields(answer) && Array.isArray(answer["nodes"]) && Array.isArray(answer["edges"]) && "roots" in answer;
}

const outsideNode: LineageNode = {
  ...{ id: outside, dataset: outside, kind: "derived", partitions: outside, ranges: null, computed: null },
};

/** The walk stops where somebody else's content begins, at one node that says no more than that. */
function lineageInSight(sight: Sight, lineage: Lineage): Lineage {
  const theirs = new Map(
    lineage.nodes.filter(({ dataset }) => sight.datasets.has(dataset)).map((node) => [node.id, node]),
  );
  const kept = new Map<string, LineageNode>();
  const edges = new Map<string, LineageEdge>();
  const walk = (id: string, near: "from" | "to", far: "from" | "to"): void => {
    for (const edge of lineage.edges.filter((each) => each[near] === id)) {
      const node = theirs.get(edge[far]);
      const cut = node === undefined ? { ...edge, [far]: outside, input: outside, partitions: outside } : edge;
      const isNew = !edges.has(JSON.stringify(cut));
      edges.set(JSON.stringify(cut), cut);
      if (node !== undefined && isNew) walk(node.id, near, far);
      if (node !== undefined) kept.set(node.id, node);
    }
  };
  const roots = lineage.roots.filter((id) => theirs.has(id));
  for (const id of roots) {
    kept.set(id, theirs.get(id) as LineageNode);
    walk(id, "to", "from");
    walk(id, "from", "to");
  }
  const endsOutside = [...edges.values()].some(({ from, to }) => from === outside || to === outside);
  return {
    ...lineage,
    roots,
    nodes: [...kept.values(), ...(endsOutside ? [outsideNode] : [])],
    edges: [...edges.values()],
    exposures: lineage.exposures.filter(({ name }) => sight.exposures.has(name)),
  };
}
