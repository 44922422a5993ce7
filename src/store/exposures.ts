/** Table `exposure` and the view `exposure_status`: how the data behind each exposure of the catalog is. */
import type { ExposureStatus } from "../report.ts";
import type { Tx } from "../tx.ts";

export interface ExposureRow {
  readonly name: string;
  readonly criticality: string;
  readonly reads: readonly string[];
  /** The derived ones of these, and every derived one above them. */
  readonly upstream: readonly string[];
}

type ExposureState = ExposureStatus["status"];

/** What the view says; the catalog knows the rest. */
export type ExposureStatusRow = Omit<ExposureStatus, "description" | "owner">;

const statusColumns = `s.exposure, s.criticality, s.status, s.reads, s.backfills, s.diverged,
  to_char(s.as_of at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "asOf"`;

/** Makes the table say what the catalog says. Writes nothing where it does already. */
export async function syncExposures(tx: Tx, exposures: readonly ExposureRow[]): Promise<void> {
  const rows = JSON.stringify(exposures);
  await tx.query(
    `insert into rederive.exposure as e (name, criticality, reads, upstream)
     select name, criticality, reads, upstream
     from jsonb_to_recordset($1::text::jsonb) as c (name text, criticality text, reads text[], upstream text[])
     on conflict (name) do update
     set criticality = excluded.criticality, reads = excluded.reads, upstream = excluded.upstream
     where (e.criticality, e.reads, e.upstream) is distinct from (excluded.criticality, excluded.reads, excluded.upstream)`,
    [rows],
  );
  await tx.query("delete from rederive.exposure where name <> all($1::text[])", [exposures.map(({ name }) => name)]);
}

export async function exposureStatus(tx: Tx, name: string): Promise<ExposureStatusRow | undefined> {
  const [row] = await tx.query<ExposureStatusRow>(
    `select ${statusColumns} from rederive.exposure_status s where s.exposure = $1::text`,
    [name],
  );
  return row;
}

/** `before` is null where nobody looked before. */
export type ExposureChange = ExposureStatusRow & { readonly before: ExposureState | null };

/** Exposures that are not as they were, with their rows locked. */
export async function changedExposures(tx: Tx): Promise<ExposureChange[]> {
  return tx.query<ExposureChange>(
    `select ${statusColumns}, e.status as before
     from rederive.exposure e join rederive.exposure_status s on s.exposure = e.name
     where e.status is distinct from s.status order by e.name for no key update of e`,
  );
}

export async function noteExposure(tx: Tx, name: string, status: ExposureState): Promise<void> {
  await tx.query(
    "update rederive.exposure set status = $2::text, changed_at = clock_timestamp() where name = $1::text",
    [name, status],
  );
}
