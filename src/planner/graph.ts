/** The catalog as a picture: a text tree, a Mermaid flowchart, or JSON. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset, ExposureColumn, Input } from "../catalog/dataset.ts";
import type { Deprecation } from "../catalog/deprecation.ts";
import { describeMapping } from "../catalog/mapping.ts";
import { describeScheme } from "../catalog/scheme.ts";

export interface CatalogGraph {
  readonly datasets: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  readonly exposures: readonly {
    readonly name: string;
    readonly criticality: string;
    readonly reads: readonly string[];
    /** Its contract, where it has one. */
    readonly columns?: readonly ExposureColumn[];
  }[];
}

export interface GraphNode {
  readonly name: string;
  readonly kind: "source" | "derived";
  readonly partitions: string;
  /** 0 none to 4 critical. */
  readonly criticality: number;
  readonly version?: number;
  readonly transform?: "select" | "map";
  /** What is taken for granted about it; absent where nothing is. */
  readonly assumptions?: readonly string[];
  readonly deprecated?: Deprecation;
  readonly deprecatedColumns?: readonly DeprecatedColumn[];
  readonly description?: string;
  readonly owner?: string;
}

/** A column that will go away, by its database name. */
export interface DeprecatedColumn extends Deprecation {
  readonly column: string;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  /** same, rollup, lookback 7, lookahead 2, rolling -7 +0, all, or custom with its name. */
  readonly mapping: string;
}

/** Nodes in topological order. */
export function graphJson(catalog: Catalog): CatalogGraph {
  const datasets = inOrder(catalog);
  return {
    datasets: datasets.map((dataset) => nodeOf(catalog, dataset)),
    edges: datasets.flatMap((dataset) =>
      inputsOf(dataset).map((input) => ({
        from: input.dataset.name,
        to: dataset.name,
        mapping: describeMapping(input.mapping),
      })),
    ),
    exposures: catalog.exposures.map(({ name, criticality, reads, columns }) => ({
      name,
      criticality,
      reads: reads.map((dataset) => dataset.name),
      ...(columns === undefined ? {} : { columns }),
    })),
  };
}

function nodeOf(catalog: Catalog, dataset: Dataset): GraphNode {
  return {
    name: dataset.name,
    kind: dataset.kind,
    partitions: describeScheme(dataset.partitions),
    criticality: catalog.criticalityOf(dataset.name),
    ...(dataset.kind === "derived" ? { version: dataset.version, transform: dataset.transform.kind } : {}),
    ...conditionsOf(dataset),
    ...(dataset.description === undefined ? {} : { description: dataset.description }),
    ...(dataset.owner === undefined ? {} : { owner: dataset.owner }),
  };
}

/** What readers should know of it: what it rests on, and what of it will go away. */
export function conditionsOf({
  assumptions,
  deprecated,
  deprecatedColumns = [],
}: Dataset): Pick<GraphNode, "assumptions" | "deprecated" | "deprecatedColumns"> {
  return {
    ...(assumptions.length === 0 ? {} : { assumptions: assumptions.map(({ description }) => description) }),
    ...(deprecated === undefined ? {} : { deprecated }),
    ...(deprecatedColumns.length === 0
      ? {}
      : { deprecatedColumns: deprecatedColumns.map(({ column, ...rest }) => ({ column: column.name, ...rest })) }),
  };
}

/** One line each, as the tree shows them. */
function notesOf({ assumptions = [], deprecated, deprecatedColumns = [] }: GraphNode): string[] {
  return [
    ...assumptions.map((description) => `assumes: ${description}`),
    ...(deprecated === undefined ? [] : [deprecationText("deprecated", deprecated)]),
    ...deprecatedColumns.map(({ column, ...deprecation }) => deprecationText(`${column} is deprecated`, deprecation)),
  ];
}

function deprecationText(what: string, { since, replacedBy, removeAfter }: Deprecation): string {
  const instead = replacedBy === undefined ? "" : `; read ${replacedBy} instead`;
  return `${what} since ${since}${instead}${removeAfter === undefined ? "" : `; stays until ${removeAfter}`}`;
}

/**
 * From each source down to what reads it. A dataset with several inputs is drawn in full under the first and referred
 * to under the others.
 */
export function graphText(catalog: Catalog): string {
  const graph = graphJson(catalog);
  const drawn = new Set<string>();
  const draw = (name: string, head: string, tail: string, mapping: string): string[] => {
    const node = graph.datasets.find((candidate) => candidate.name === name);
    const line = `${head}${name}${mapping}  ${node?.partitions ?? ""}${node?.version === undefined ? "" : `  v${node.version}`}`;
    if (drawn.has(name)) return [`${head}${name}${mapping}  (above)`];
    drawn.add(name);
    const edges = graph.edges.filter((edge) => edge.from === name);
    const exposures = graph.exposures.filter((exposure) => exposure.reads.includes(name));
    const last = edges.length + exposures.length - 1;
    const notes = node === undefined ? [] : notesOf(node);
    return [
      line,
      ...notes.map((note) => `${tail}${last < 0 ? "   " : "│  "}${note}`),
      ...edges.flatMap((edge, index) =>
        draw(
          edge.to,
          `${tail}${index === last ? "└─ " : "├─ "}`,
          `${tail}${index === last ? "   " : "│  "}`,
          ` (${edge.mapping})`,
        ),
      ),
      ...exposures.map((exposure, index) => {
        const branch = edges.length + index === last ? "└─ " : "├─ ";
        return `${tail}${branch}» ${exposure.name} [${exposure.criticality}]`;
      }),
    ];
  };
  const roots = graph.datasets.filter((node) => !graph.edges.some((edge) => edge.to === node.name));
  return roots.flatMap((node) => draw(node.name, "", "", "")).join("\n");
}

/** A Mermaid flowchart: sources as cylinders, derived datasets as boxes, exposures as flags. */
export function graphMermaid(catalog: Catalog): string {
  const graph = graphJson(catalog);
  const ids = new Map([...graph.datasets, ...graph.exposures].map((node, index) => [node, `n${index}`] as const));
  const idOf = (name: string) => ids.get(graph.datasets.find((node) => node.name === name) as GraphNode) ?? name;
  const lines = [
    ...graph.datasets.map((node) => {
      const text = quoted(node.version === undefined ? node.name : `${node.name} v${node.version}`);
      return `${ids.get(node)}${node.kind === "source" ? `[(${text})]` : `[${text}]`}`;
    }),
    ...graph.exposures.map(
      (exposure) => `${ids.get(exposure)}>${quoted(`${exposure.name} (${exposure.criticality})`)}]`,
    ),
    ...graph.edges.map((edge) => `${idOf(edge.from)} -->|${quoted(edge.mapping)}| ${idOf(edge.to)}`),
    ...graph.exposures.flatMap((exposure) => exposure.reads.map((name) => `${idOf(name)} -.-> ${ids.get(exposure)}`)),
  ];
  return `flowchart LR\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

/** Mermaid takes any text in double quotes but the quote itself. */
function quoted(text: string): string {
  return `"${text.replaceAll('"', "#quot;")}"`;
}

function inOrder(catalog: Catalog): Dataset[] {
  return catalog.order.flatMap((name) => catalog.datasets.get(name) ?? []);
}

function inputsOf(dataset: Dataset): readonly Input[] {
  return dataset.kind === "derived" ? dataset.inputs : [];
}
