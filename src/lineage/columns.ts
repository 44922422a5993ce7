/** Column lineage as it is reported, and as lines for people. Pure. */

export interface ColumnsReport {
  readonly dataset: string;
  /** False for a map: all that it reads may be in all that it writes. */
  readonly proven: boolean;
  /** False where a map stands between it and the sources. */
  readonly sourcesProven: boolean;
  readonly columns: readonly {
    readonly column: string;
    readonly from: readonly ColumnOrigin[];
    /** `source.column`, through all datasets between. */
    readonly sources: readonly string[];
  }[];
  /** What decides which rows there are. */
  readonly rows: readonly ColumnOrigin[];
}

export interface ColumnOrigin {
  /** Handle of the input. */
  readonly input: string;
  readonly dataset: string;
  readonly column: string;
  /** identity, transformation and aggregation go into the value; the others decide about it or about rows. */
  readonly how: string;
}

export function columnsText({ dataset, proven, sourcesProven, columns, rows }: ColumnsReport): string[] {
  const origin = ({ input, column, how }: ColumnOrigin) => `${input}.${column} (${how})`;
  const list = (from: readonly ColumnOrigin[]) => (from.length === 0 ? "no column" : from.map(origin).join(", "));
  const doubt = sourcesProven ? "" : " at most, through a map";
  return [
    `${dataset}${proven ? "" : ": its map is not looked into, so every column that it reads may be in every other"}`,
    ...columns.flatMap(({ column, from, sources }) => [
      `  ${column}  ← ${list(from)}`,
      ...(sources.length === 0 ? [] : [`      at the sources${doubt}: ${sources.join(", ")}`]),
    ]),
    ...(rows.length === 0 ? [] : [`  its rows  ← ${list(rows)}`]),
  ];
}
