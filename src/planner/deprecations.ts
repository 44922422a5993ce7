/** Who still reads what will go away, with the way out. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset, Derived, Exposure } from "../catalog/dataset.ts";
import type { Deprecation } from "../catalog/deprecation.ts";
import type { PreflightFinding } from "../report.ts";

export interface DeprecationsOf {
  readonly catalog: Catalog;
  /** Datasets of a plan: they and the exposures that read them are looked at. */
  readonly datasets: ReadonlySet<string>;
  /** Columns that a transform reads, by input handle; null where whole rows are read. */
  readonly readsOf: (derived: Derived) => ReadonlyMap<string, readonly string[] | null>;
  /** A date: 2001-01-31. */
  readonly today: string;
}

/** One finding for each reader of each deprecated dataset or column. */
export function deprecationFindings(of: DeprecationsOf): PreflightFinding[] {
  const { catalog, datasets } = of;
  const derived = [...catalog.datasets.values()].filter(
    (dataset): dataset is Derived => dataset.kind === "derived" && datasets.has(dataset.name),
  );
  const exposures = catalog.exposures.filter(({ reads }) => reads.some(({ name }) => datasets.has(name)));
  return [
    ...derived.flatMap((reader) => ofTransform(reader, of)),
    ...exposures.flatMap((reader) => ofExposure(reader, of.today)),
  ];
}

function ofTransform(reader: Derived, { readsOf, today }: DeprecationsOf): PreflightFinding[] {
  const deprecating = reader.inputs.filter(({ dataset }) => isDeprecating(dataset));
  if (deprecating.length === 0) return [];
  const reads = readsOf(reader);
  return deprecating.flatMap(({ name, dataset }) => {
    const columns = reads.get(name) ?? null;
    return found(reader.name, dataset, (column) => columns === null || columns.includes(column), today);
  });
}

/** Without a contract nobody knows which columns an exposure reads, so only whole datasets are told. */
function ofExposure({ name, reads, columns = [] }: Exposure, today: string): PreflightFinding[] {
  return reads.flatMap((dataset) =>
    found(
      `the exposure ${name}`,
      dataset,
      (column) => columns.some((each) => each.dataset === dataset.name && each.column === column),
      today,
    ).map((finding) => ({ ...finding, reader: name })),
  );
}

function isDeprecating({ deprecated, deprecatedColumns = [] }: Dataset): boolean {
  return deprecated !== undefined || deprecatedColumns.length > 0;
}

function found(
  reader: string,
  { name, deprecated, deprecatedColumns = [] }: Dataset,
  reads: (column: string) => boolean,
  today: string,
): PreflightFinding[] {
  const whole = deprecated === undefined ? [] : [findingOf({ reader, dataset: name, deprecation: deprecated, today })];
  const columns = deprecatedColumns
    .filter(({ column }) => reads(column.name))
    .map((deprecation) => findingOf({ reader, dataset: name, column: deprecation.column.name, deprecation, today }));
  return [...whole, ...columns];
}

interface Found {
  readonly reader: string;
  readonly dataset: string;
  readonly column?: string;
  readonly deprecation: Deprecation;
  readonly today: string;
}

function findingOf({ reader, dataset, column, deprecation, today }: Found): PreflightFinding {
  const { since, replacedBy, removeAfter } = deprecation;
  const overdue = removeAfter !== undefined && removeAfter < today;
  const what = column === undefined ? dataset : `column ${column} of ${dataset}`;
  const stays = removeAfter === undefined ? "nothing says until when it stays" : `it stays until ${removeAfter}`;
  const instead = replacedBy === undefined ? "do without it" : `read ${replacedBy} instead`;
  return {
    code: overdue ? "past_removal" : "deprecated",
    severity: "warn",
    dataset,
    reader,
    ...(column === undefined ? {} : { column }),
    what: overdue
      ? `${reader} still reads ${what}, which may have been removed since ${removeAfter}`
      : `${reader} reads ${what}, which is deprecated`,
    seen: overdue ? `deprecated since ${since}; today is ${today}` : `deprecated since ${since}; ${stays}`,
    mitigation:
      overdue || removeAfter === undefined
        ? `${instead}${overdue ? ", now" : ""}`
        : `${instead}, before ${removeAfter}`,
  };
}
