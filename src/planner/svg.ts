/**
 * The catalog as an SVG picture, without a layout library: datasets in columns by their depth, sources on the left,
 * exposures on the right, an edge for each input with its mapping. Pure.
 */
import type { Catalog } from "../catalog/catalog.ts";
import { type CatalogGraph, graphJson } from "./graph.ts";

const box = { width: 200, height: 44, gapX: 110, gapY: 22, margin: 20 } as const;

interface Placed {
  readonly name: string;
  readonly kind: "source" | "derived" | "exposure";
  readonly note: string;
  readonly x: number;
  readonly y: number;
}

export function graphSvg(catalog: Catalog): string {
  const graph = graphJson(catalog);
  const placed = place(graph);
  const width = Math.max(...placed.map(({ x }) => x)) + box.width + box.margin;
  const height = Math.max(...placed.map(({ y }) => y)) + box.height + box.margin;
  const at = new Map(placed.map((each) => [`${each.kind === "exposure"} ${each.name}`, each] as const));
  const lines = [
    ...graph.edges.map(({ from, to, mapping }) => edge(at.get(`false ${from}`), at.get(`false ${to}`), mapping)),
    ...graph.exposures.flatMap(({ name, reads }) =>
      reads.map((read) => edge(at.get(`false ${read}`), at.get(`true ${name}`), "")),
    ),
    ...placed.map(node),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<title>Datasets and what they read</title>`,
    ...lines.filter((line) => line !== ""),
    "</svg>",
    "",
  ].join("\n");
}

/** A column is one deeper than the deepest input; within it, the order of the catalog. */
function place(graph: CatalogGraph): Placed[] {
  const depths = new Map<string, number>();
  for (const { name } of graph.datasets) {
    const above = graph.edges.filter((each) => each.to === name).map((each) => depths.get(each.from) ?? 0);
    depths.set(name, above.length === 0 ? 0 : Math.max(...above) + 1);
  }
  const last = Math.max(0, ...depths.values()) + 1;
  const rows = new Map<number, number>();
  const put = (depth: number): { x: number; y: number } => {
    const row = rows.get(depth) ?? 0;
    rows.set(depth, row + 1);
    return {
      x: box.margin + depth * (box.width + box.gapX),
      y: box.margin + row * (box.height + box.gapY),
    };
  };
  return [
    ...graph.datasets.map(({ name, kind, partitions }) => ({
      name,
      kind,
      note: partitions,
      ...put(depths.get(name) ?? 0),
    })),
    ...graph.exposures.map(({ name, criticality }) => ({
      ...{ name, kind: "exposure" as const, note: criticality },
      ...put(last),
    })),
  ];
}

const fills = { source: "#e6e6e6", derived: "#dbeafe", exposure: "#fef3c7" } as const;

function node({ name, kind, note, x, y }: Placed): string {
  const middle = x + box.width / 2;
  return [
    `<g><rect x="${x}" y="${y}" width="${box.width}" height="${box.height}" rx="${kind === "exposure" ? 20 : 6}" fill="${fills[kind]}" stroke="#475569"/>`,
    `<text x="${middle}" y="${y + 18}" text-anchor="middle" font-weight="600">${escaped(short(name))}</text>`,
    `<text x="${middle}" y="${y + 34}" text-anchor="middle" fill="#475569">${escaped(short(note))}</text></g>`,
  ].join("");
}

function edge(from: Placed | undefined, to: Placed | undefined, label: string): string {
  if (from === undefined || to === undefined) return "";
  const [x1, y1] = [from.x + box.width, from.y + box.height / 2];
  const [x2, y2] = [to.x, to.y + box.height / 2];
  const bend = (x1 + x2) / 2;
  const path = `<path d="M${x1} ${y1} C${bend} ${y1} ${bend} ${y2} ${x2} ${y2}" fill="none" stroke="#94a3b8"/>`;
  if (label === "") return path;
  return `${path}<text x="${x2 - 6}" y="${y2 - 6}" text-anchor="end" font-size="10" fill="#64748b">${escaped(label)}</text>`;
}

function short(text: string): string {
  return text.length > 30 ? `${text.slice(0, 29)}…` : text;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
