/**
 * The catalog for people as one HTML page: everything inline, no server, no resource from elsewhere, all text escaped. A
 * field at its top leaves only what contains the words that are typed. Pure.
 */

export interface CatalogReport {
  readonly datasets: readonly CatalogDataset[];
  readonly exposures: readonly CatalogExposure[];
}

interface CatalogEntry {
  readonly name: string;
  readonly description: string | null;
  readonly owner: string | null;
}

export interface CatalogDataset extends CatalogEntry {
  readonly kind: "source" | "derived";
  /** Schema-qualified. */
  readonly table: string;
  readonly partitions: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly description: string | null }[];
  /** What identifies a row. */
  readonly key: readonly string[];
  /** Sentences. */
  readonly rules: readonly string[];
  readonly madeFrom: readonly string[];
  readonly usedBy: readonly string[];
  /** Null where nothing was promoted. */
  readonly lastChange: CatalogChange | null;
}

export interface CatalogChange {
  readonly at: string;
  /** Label of the last partition that is live. */
  readonly upTo: string;
  readonly by: string | null;
  /** Why it was computed, and why it was made live. */
  readonly because: string;
  readonly reason: string | null;
  readonly backfill: string;
}

export interface CatalogExposure extends CatalogEntry {
  readonly criticality: string;
  readonly reads: readonly string[];
  readonly status: string;
  readonly asOf: string | null;
}

/** Entries that contain every word, in any case, in what is said of them. */
export function searched(report: CatalogReport, text: string): CatalogReport {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const has = (entry: CatalogEntry) => {
    const said = textsIn(entry).join("\n").toLowerCase();
    return words.every((word) => said.includes(word));
  };
  return { datasets: report.datasets.filter(has), exposures: report.exposures.filter(has) };
}

function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** As lines for a terminal. */
export function catalogText({ datasets, exposures }: CatalogReport): string[] {
  return [
    ...datasets.flatMap((each) => [
      `${each.name}  [${each.kind}${each.owner === null ? "" : `, ${each.owner}`}]  ${each.description ?? ""}`.trimEnd(),
      `  ${changeText(each)}`,
    ]),
    ...exposures.map(
      ({ name, criticality, owner, description, status, asOf }) =>
        `» ${name}  [${criticality}${owner === null ? "" : `, ${owner}`}]  ${description ?? ""}  ${status}${asOf === null ? "" : ` as of ${asOf}`}`,
    ),
    ...(datasets.length + exposures.length === 0 ? ["nothing in the catalog has all of these words"] : []),
  ];
}

function changeText({ kind, lastChange }: CatalogDataset): string {
  if (lastChange === null) return kind === "source" ? "written by others" : "nothing of it was made live yet";
  const { at, upTo, by, because, reason, backfill } = lastChange;
  const why = reason === null ? "" : ` (${reason})`;
  return `up to ${upTo}; changed ${at}${by === null ? "" : ` by ${by}`} in ${backfill}: ${because}${why}`;
}

/** `picture` is an SVG of the graph; `at` says when the page was made. */
export function catalogPage({ datasets, exposures }: CatalogReport, picture: string, at: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Data catalog</title><style>${styles}</style></head>
<body><header><h1>Data catalog</h1><p>As of ${escaped(at)}</p>
<label>Search <input type="search" id="search" autocomplete="off"></label> <output id="found" for="search"></output></header>
<main>${[...exposures.map(exposureSection), ...datasets.map(datasetSection)].join("\n")}
<section id="picture"><h2>What is made from what</h2><div class="picture">${picture}</div></section></main>
<script>${script}</script></body></html>
`;
}

const styles = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:auto;padding:1rem}
article{border-top:1px solid #8888;padding:.5rem 0}h2{margin:.5rem 0}small,dt{color:#64748b}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}
dd{margin:0}table{border-collapse:collapse}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}.picture{overflow:auto;background:#fff}
input{font:inherit;width:20rem;max-width:100%}[hidden]{display:none}@media print{label,output{display:none}}`;

const script = `const field=document.getElementById("search"),found=document.getElementById("found"),all=[...document.querySelectorAll("article")];
field.addEventListener("input",()=>{const words=field.value.toLowerCase().split(/\\s+/).filter(Boolean);let count=0;
for(const each of all){const text=each.textContent.toLowerCase();each.hidden=!words.every(word=>text.includes(word));if(!each.hidden)count+=1}
found.textContent=words.length?count+" of "+all.length:""});`;

function datasetSection(dataset: CatalogDataset): string {
  const { name, kind, description, owner, table, partitions, columns, key, rules, madeFrom, usedBy } = dataset;
  const rows = columns.map(
    (column) =>
      `<tr><td>${escaped(column.name)}</td><td><small>${escaped(column.type)}</small></td><td>${escaped(column.description ?? "")}</td></tr>`,
  );
  return article(name, kind, description, [
    ["Owner", text(owner)],
    ["Table", `${escaped(table)}, cut by ${escaped(partitions)}`],
    ["A row is", key.length === 0 ? "" : `one for each ${escaped(key.join(", "))}`],
    ["Freshness", escaped(changeText(dataset))],
    ["Made from", links(madeFrom)],
    ["Used by", links(usedBy)],
    ["Rules", rules.length === 0 ? "" : `<ul>${rules.map((rule) => `<li>${escaped(rule)}</li>`).join("")}</ul>`],
    ["Columns", `<table>${rows.join("")}</table>`],
  ]);
}

function exposureSection({ name, description, owner, criticality, reads, status, asOf }: CatalogExposure): string {
  return article(name, "exposure", description, [
    ["Owner", text(owner)],
    ["Criticality", escaped(criticality)],
    ["Status", escaped(`${status}${asOf === null ? "" : ` as of ${asOf}`}`)],
    ["Reads", links(reads)],
  ]);
}

function article(name: string, kind: string, description: string | null, facts: readonly [string, string][]): string {
  const known = facts.filter(([, value]) => value !== "");
  const list = known.map(([term, value]) => `<dt>${term}</dt><dd>${value}</dd>`).join("");
  return `<article id="${escaped(name)}"><h2>${escaped(name)} <small>${kind}</small></h2><p>${text(description)}</p><dl>${list}</dl></article>`;
}

function links(names: readonly string[]): string {
  return names.map((name) => `<a href="#${encodeURIComponent(name)}">${escaped(name)}</a>`).join(", ");
}

function text(value: string | null): string {
  return value === null ? "" : escaped(value);
}

function escaped(value: string): string {
  return value
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
