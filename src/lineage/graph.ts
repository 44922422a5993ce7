/**
 * What a lineage question is answered with: nodes are contents (a dataset as one backfill computed it), edges say which
 * content was computed from which. Pure; the walk over the stamps is in usecases/lineage.ts.
 */
import type { Ranges } from "../catalog/ranges.ts";

export interface Lineage {
  readonly dataset: string;
  /** Label of the partition that was asked for; null for all that are live. */
  readonly partition: string | null;
  /** The instant that it describes, ISO 8601; null where it is what is live at the moment of asking. */
  readonly asOf: string | null;
  readonly direction: LineageDirection;
  /** The content that was asked for; several nodes where several backfills computed it. */
  readonly roots: readonly string[];
  readonly nodes: readonly LineageNode[];
  readonly edges: readonly LineageEdge[];
  /** Exposures that read what was computed from it; only where that was asked for. */
  readonly exposures: readonly {
    readonly name: string;
    readonly criticality: string;
    readonly reads: readonly string[];
  }[];
}

export type LineageDirection = "up" | "down" | "both";

export interface LineageNode {
  /** The dataset, and behind an @ the backfill: `airport_day@bf_7k3m9x2q4d`. Without one, nobody computed it here. */
  readonly id: string;
  readonly dataset: string;
  readonly kind: "source" | "derived";
  /** Labels, for example "2001-01-01 to 2001-01-31 (31)"; "all" where everything was read. */
  readonly partitions: string;
  /** Half-open ranges of ordinals; null where everything was read. */
  readonly ranges: Ranges | null;
  /** Null for a source, and for rows that no backfill made. */
  readonly computed: Computed | null;
}

/** How one content came to be. Instants as ISO 8601 in UTC. */
export interface Computed {
  readonly backfill: string;
  /** Version of the transform; null where the plan is not kept. */
  readonly version: number | null;
  /** Data fingerprint of what was run, as Postgres analysed it. */
  readonly fingerprint: string;
  /** Hash of the definition as written: that of the code. */
  readonly definition: string;
  readonly planHash: string;
  readonly requestedBy: string;
  readonly requestedBecause: string;
  readonly rows: number;
  /** Content hash of a single partition, else a digest of those of all. */
  readonly outputHash: string;
  readonly hashAlgorithm: string;
  readonly computedAt: string;
  /** The backfill that computed the rows, where this one took them over; instants, workers and traces are of that one. */
  readonly adoptedFrom: string | null;
  readonly workers: readonly string[];
  readonly traceIds: readonly string[];
  readonly promotedAt: string | null;
  readonly promotedBy: string | null;
  readonly promotedBecause: string | null;
  /** A later backfill that proved it equal to what its own definition would give. */
  readonly confirmedBy: string | null;
  /** Whether all of it, some or none is live now. */
  readonly live: "all" | "some" | "none";
}

export interface LineageEdge {
  /** The content that was read. */
  readonly from: string;
  /** The content that was computed from it. */
  readonly to: string;
  /** Handle of the input. */
  readonly input: string;
  /** "candidate": computed by the same backfill. "live": read as it was live then. */
  readonly read: "candidate" | "live";
  /** Labels of the partitions that were read. */
  readonly partitions: string;
}

/** As lines for people: what it is, then a tree up, then a tree down. */
export function lineageText(lineage: Lineage): string[] {
  const { asOf, partition, roots, direction } = lineage;
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const lines = [`${lineage.dataset}${partition === null ? "" : ` ${partition}`}, as of ${asOf ?? "now"}`];
  if (roots.length === 0) lines.push("  nothing of it was live");
  for (const root of roots) {
    const node = nodes.get(root);
    if (node === undefined) continue;
    lines.push(...contentLines(node).map((line) => `  ${line}`));
    if (direction !== "down") lines.push("  computed from", ...tree(lineage, nodes, root, "up", "    ", new Set()));
    if (direction !== "up") lines.push("  read by", ...tree(lineage, nodes, root, "down", "    ", new Set()));
  }
  return [
    ...lines,
    ...lineage.exposures.map(({ name, criticality, reads }) => `» ${name} [${criticality}], reads ${reads.join(", ")}`),
  ];
}

function contentLines({ partitions, computed, kind }: LineageNode): string[] {
  if (computed === null)
    return [`${partitions}: ${kind === "source" ? "a source, written by others" : "made by no backfill"}`];
  const { backfill, requestedBy, requestedBecause, promotedAt, promotedBy, promotedBecause, confirmedBy, adoptedFrom } =
    computed;
  return [
    `${partitions}: ${computed.rows.toLocaleString("en-US")} rows, ${computed.hashAlgorithm} ${computed.outputHash}`,
    `  ${versionText(computed)}, definition ${short(computed.definition)}, fingerprint ${short(computed.fingerprint)}`,
    `  computed by ${adoptedFrom ?? backfill} at ${computed.computedAt}, worker ${computed.workers.join(", ")}${traceText(computed)}`,
    ...(adoptedFrom === null ? [] : [`  taken over by ${backfill}`]),
    `  asked for by ${requestedBy}: ${requestedBecause}`,
    promotedAt === null
      ? "  never promoted"
      : `  promoted at ${promotedAt} by ${promotedBy}: ${promotedBecause ?? ""}${liveText(computed)}`,
    ...(confirmedBy === null ? [] : [`  found to be the same by ${confirmedBy}, and not computed again`]),
  ];
}

function versionText({ version }: Computed): string {
  return version === null ? "unknown version" : `version ${version}`;
}

function traceText({ traceIds }: Computed): string {
  return traceIds.length === 0 ? "" : `, trace ${traceIds.join(", ")}`;
}

function liveText({ live }: Computed): string {
  if (live === "all") return "";
  return live === "none" ? " (replaced since)" : " (partly replaced since)";
}

/** A content that is drawn already is only named again. */
function tree(
  lineage: Lineage,
  nodes: ReadonlyMap<string, LineageNode>,
  id: string,
  direction: "up" | "down",
  indent: string,
  drawn: Set<string>,
): string[] {
  const [near, far] = direction === "up" ? (["to", "from"] as const) : (["from", "to"] as const);
  const edges = lineage.edges.filter((edge) => edge[near] === id);
  if (edges.length === 0) return drawn.size === 0 ? [`${indent}nothing that is known`] : [];
  return edges.flatMap((edge) => {
    const node = nodes.get(edge[far]);
    if (node === undefined) return [];
    const again = drawn.has(node.id);
    drawn.add(node.id);
    const line = `${indent}${node.dataset}  ${direction === "up" ? edge.partitions : node.partitions}  ${summary(node, edge)}`;
    return again ? [`${line} (above)`] : [line, ...tree(lineage, nodes, node.id, direction, `${indent}  `, drawn)];
  });
}

function summary({ kind, computed }: LineageNode, { input, read }: LineageEdge): string {
  const how = read === "candidate" ? "same backfill" : "as it was live";
  if (computed === null) return kind === "source" ? `[${input}, source]` : `[${input}, ${how}, made by no backfill]`;
  return `[${input}, ${how}, ${computed.backfill}, ${versionText(computed)}, ${short(computed.outputHash)}${liveText(computed)}]`;
}

function short(hash: string): string {
  return hash.slice(0, 12);
}
