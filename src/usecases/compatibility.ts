/**
 * Whether everybody can still read what they read: the tables of the catalog are compared with its definitions and with
 * what they were when a run last started, in one statement; transforms over a table that does not fit are compiled to
 * find out who reads what of it; exposures say so themselves.
 */
import { getTableColumns } from "drizzle-orm";
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset, Derived } from "../catalog/dataset.ts";
import { canonicalType } from "../planner/column-types.ts";
import {
  brokenContracts,
  type ColumnReader,
  type DatasetShape,
  incompatibilities,
  type Misfit,
  misfitsOf,
  otherwiseTyped,
  type ShapeColumn,
} from "../planner/compatibility.ts";
import { derivedInOrder } from "../planner/impact.ts";
import type { PreflightFinding } from "../report.ts";
import { keptShapes } from "../store/table-shapes.ts";
import type { Tx } from "../tx.ts";
import { columnsOfTables } from "../warehouse/columns.ts";
import { tableName } from "../warehouse/quote.ts";
import { readsOfStandIns } from "../warehouse/stand-in.ts";

export type Shapes = ReadonlyMap<string, DatasetShape>;

/** The tables of all datasets, as the catalog, Postgres and the last start have them. */
export async function shapesOf(tx: Tx, catalog: Catalog): Promise<Shapes> {
  const datasets = [...catalog.datasets.values()];
  const live = await columnsOfTables(
    tx,
    datasets.map(({ table }) => tableName(table)),
  );
  const seen = await keptShapes(tx);
  return new Map(
    datasets.map((dataset) => {
      const table = tableName(dataset.table);
      const before = seen.get(dataset.name);
      const shape: DatasetShape = {
        dataset: dataset.name,
        table,
        ...declaredColumns(dataset),
        live: live.get(table) ?? [],
        ...(before === undefined ? {} : { seen: before }),
      };
      return [dataset.name, shape];
    }),
  );
}

/** Of a derived dataset the owned columns alone can be read by others. */
function declaredColumns(dataset: Dataset): Pick<DatasetShape, "declared" | "hidden"> {
  const all = Object.values(getTableColumns(dataset.table));
  const readable = dataset.kind === "source" ? all : all.filter((column) => dataset.owned.includes(column));
  return {
    declared: readable.map((column) => ({ name: column.name, type: column.getSQLType() })),
    hidden: all.filter((column) => !readable.includes(column)).map((column) => column.name),
  };
}

/** What stops every plan: columns that somebody reads and that are not there, or hold less. */
export async function schemaFindings(tx: Tx, catalog: Catalog, shapes: Shapes): Promise<PreflightFinding[]> {
  const misfits = [...shapes.values()].flatMap(misfitsOf);
  const derived = derivedInOrder(catalog);
  const used = new Set(derived.flatMap(({ name, inputs }) => [name, ...inputs.map(({ dataset }) => dataset.name)]));
  const readers: ColumnReader[] = [];
  const refused: PreflightFinding[] = [];
  for (const reader of derived) {
    if (!mayBeHurt(reader, misfits, shapes)) continue;
    const { reads, retyped } = await readsOf(tx, reader, shapes);
    const own = reads.map((read): ColumnReader => ({ ...read, reader: reader.name, kind: "transform" }));
    readers.push(...own);
    refused.push(
      ...incompatibilities(
        retyped.filter((misfit) => !isAmong(misfits, misfit)),
        own,
      ),
    );
  }
  const contracts = catalog.exposures.flatMap((exposure) => brokenContracts(exposure, shapes, misfits));
  const relevant = misfits.filter(({ dataset }) => used.has(dataset));
  return [...incompatibilities(relevant, readers), ...refused, ...contracts];
}

/** Whether it is worth compiling: columns that only a table has are read by name, so the name is in the statement. */
function mayBeHurt({ inputs, transform }: Derived, misfits: readonly Misfit[], shapes: Shapes): boolean {
  const statement = transform.statement.toLowerCase();
  return inputs.some(({ dataset }) => {
    const shape = shapes.get(dataset.name) as DatasetShape;
    return (
      shape.declared.some(({ name }) => otherwiseTyped(shape, name)?.kind === "changed") ||
      misfits.some(
        ({ dataset: of, kind, column }) =>
          of === dataset.name && (kind !== "gone" || statement.includes(column.toLowerCase())),
      )
    );
  });
}

function isAmong(misfits: readonly Misfit[], { dataset, column }: Misfit): boolean {
  return misfits.some((known) => known.dataset === dataset && known.column === column);
}

interface Reads {
  readonly reads: readonly { readonly dataset: string; readonly column: string }[];
  /** Columns whose other type keeps the statement from being analysed. */
  readonly retyped: readonly Misfit[];
}

const nothing: Reads = { reads: [], retyped: [] };

/** First over the columns of the catalog, then with those that only the tables have, then with the catalog's types. */
async function readsOf(tx: Tx, derived: Derived, shapes: Shapes): Promise<Reads> {
  const over = (columns: (shape: DatasetShape) => ShapeColumn[]) =>
    readsOfStandIns(tx, derived, (dataset) => columns(shapes.get(dataset) as DatasetShape));
  const reads = (await over(asCatalogNames)) ?? (await over(asEitherNames));
  if (reads !== undefined) return { reads, retyped: [] };
  const declared = await over(asDeclared);
  if (declared === undefined) return nothing;
  const retyped = declared.flatMap(
    ({ dataset, column }) => otherwiseTyped(shapes.get(dataset) as DatasetShape, column) ?? [],
  );
  return { reads: declared, retyped };
}

/** The catalog's columns, with the types of the table where it has them. */
function asCatalogNames({ declared, live }: DatasetShape): ShapeColumn[] {
  return declared.map(({ name, type }) => ({
    name,
    type: live.find((column) => column.name === name)?.type ?? canonicalType(type),
  }));
}

function asEitherNames(shape: DatasetShape): ShapeColumn[] {
  const known = asCatalogNames(shape);
  return [...known, ...shape.live.filter(({ name }) => !known.some((column) => column.name === name))];
}

function asDeclared({ declared }: DatasetShape): ShapeColumn[] {
  return declared.map(({ name, type }) => ({ name, type: canonicalType(type) }));
}
