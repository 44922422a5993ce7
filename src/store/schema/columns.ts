/**
 * The control schema, for drizzle-kit alone: `npx drizzle-kit generate` turns a change in this folder into a migration.
 * Queries are written in SQL in the files beside it, one file a table group.
 *
 * Ids of people's things (backfills) are short texts; ids of rows are int8 and travel as text. Partitions are
 * ordinals (see catalog/scheme.ts), and sets of them int8multiranges.
 */
import { bigint, customType, pgSchema, timestamp } from "drizzle-orm/pg-core";

/** Not the schema itself, which drizzle-kit would create: that has to be there before its first migration. */
export const controlTable = pgSchema("rederive").table;

export const multirange = customType<{ data: string }>({ dataType: () => "int8multirange" });
export const id = (name: string) => bigint(name, { mode: "bigint" });
export const at = (name: string) => timestamp(name, { withTimezone: true });
