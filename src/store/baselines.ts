/** Table `baseline`: versions of golden baselines with their provenance. Of each name at most one is approved. */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { Baseline } from "../report.ts";
import type { Tx } from "../tx.ts";

/** Where the rows came from. */
type Provenance = Baseline["provenance"];

/** What is reported of one, with partitions as ranges and where its rows lie. */
export interface BaselineRow extends Omit<Baseline, "partitions"> {
  /** Null for all. */
  readonly partitions: Ranges | null;
  readonly columns: readonly string[];
  /** Quoted, qualified name of the table with its rows. */
  readonly rowsIn: string;
}

const iso = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const columns = `name, version, dataset, partitions::text as partitions, query, key, columns, tolerance, severity,
  rows_in as "rowsIn", rows::float8 as rows, content_hash as "contentHash", provenance, state, reason,
  captured_by as "capturedBy", ${iso("captured_at")} as "capturedAt", decided_by as "decidedBy", ${iso("decided_at")} as "decidedAt"`;

/** The next version of a name; captures of one name wait for each other. */
export async function nextVersion(tx: Tx, name: string): Promise<number> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended('rederive baseline ' || $1::text, 0))", [name]);
  const [row] = await tx.query<{ version: number }>(
    "select coalesce(max(version), 0) + 1 as version from rederive.baseline where name = $1::text",
    [name],
  );
  return row?.version ?? 1;
}

/** What is live of a dataset, as far as our stamps tell. */
export async function provenanceOf(tx: Tx, dataset: string, partitions: Ranges | null): Promise<Provenance> {
  const [row] = await tx.query<Provenance>(
    `select coalesce(array_agg(distinct fingerprint), '{}') as fingerprints,
       coalesce((array_agg(distinct backfill))[1:20], '{}') as backfills,
       md5(string_agg(partition || ':' || output_hash, ',' order by partition)) as stamps,
       current_setting('server_version') as server
     from rederive.live where dataset = $1::text and ($2::text is null or $2::text::int8multirange @> partition)`,
    [dataset, partitions === null ? null : toMultirange(partitions)],
  );
  return row as Provenance;
}

export type NewBaseline = Omit<BaselineRow, "state" | "capturedAt" | "decidedBy" | "decidedAt">;

export async function insertBaseline(tx: Tx, row: NewBaseline & { readonly hashAlgorithm: string }): Promise<void> {
  await tx.query(
    `insert into rederive.baseline (name, version, dataset, partitions, query, key, columns, tolerance, severity, rows_in,
       rows, content_hash, hash_algorithm, provenance, reason, captured_by)
     values ($1::text, $2::int, $3::text, $4::text::int8multirange, $5::text, $6::text[], $7::text[], $8::text::jsonb,
       $9::text, $10::text, $11::int8, $12::text, $13::text, $14::text::jsonb, $15::text, $16::text)`,
    [
      row.name,
      row.version,
      row.dataset,
      row.partitions === null ? null : toMultirange(row.partitions),
      row.query,
      row.key,
      row.columns,
      JSON.stringify(row.tolerance),
      row.severity,
      row.rowsIn,
      row.rows,
      row.contentHash,
      row.hashAlgorithm,
      JSON.stringify(row.provenance),
      row.reason,
      row.capturedBy,
    ],
  );
}

/** By name, newest version first. */
export async function listBaselines(
  tx: Tx,
  of: {
    readonly name?: string | undefined;
    readonly dataset?: string | undefined;
    readonly state?: BaselineRow["state"];
  },
): Promise<BaselineRow[]> {
  const rows = await tx.query<Omit<BaselineRow, "partitions"> & { partitions: string | null }>(
    `select ${columns} from rederive.baseline
     where ($1::text is null or name = $1::text) and ($2::text is null or dataset = $2::text)
       and ($3::text is null or state = $3::text)
     order by name, version desc`,
    [of.name ?? null, of.dataset ?? null, of.state ?? null],
  );
  return rows.map((row) => ({ ...row, partitions: row.partitions === null ? null : fromMultirange(row.partitions) }));
}

/** Approves a version, and retires the one that was. False where it is not there or was decided already. */
export async function approveBaseline(
  tx: Tx,
  args: { readonly name: string; readonly version: number; readonly by: string },
): Promise<boolean> {
  const decided = "decided_by = $3::text, decided_at = clock_timestamp()";
  await tx.query(
    `update rederive.baseline set state = 'retired', ${decided}
     where name = $1::text and version <> $2::int and state = 'approved'
       and exists (select from rederive.baseline where name = $1::text and version = $2::int and state = 'captured')`,
    [args.name, args.version, args.by],
  );
  const rows = await tx.query(
    `update rederive.baseline set state = 'approved', ${decided}
     where name = $1::text and version = $2::int and state = 'captured' returning version`,
    [args.name, args.version, args.by],
  );
  return rows.length === 1;
}

/** Retired versions are compared with nothing any more; their rows stay, as what was once true. */
export async function retireBaseline(
  tx: Tx,
  args: { readonly name: string; readonly version: number; readonly by: string },
): Promise<boolean> {
  const rows = await tx.query(
    `update rederive.baseline set state = 'retired', decided_by = $3::text, decided_at = clock_timestamp()
     where name = $1::text and version = $2::int and state <> 'retired' returning version`,
    [args.name, args.version, args.by],
  );
  return rows.length === 1;
}
