/**
 * Stamps as a graph: which stamp was live at an instant, what it read, and who read it.
 *
 * What was live is told by the audit trail: a promotion makes the stamps of its backfill live from its row on, until a
 * newer promotion replaces them or its own rollback takes them back. Stamps of promoted content never change, so every
 * instant since the first promotion can be asked for.
 */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";

/** Partitions of one dataset that one backfill computed, as they were live at an instant. */
export interface Origin {
  readonly dataset: string;
  readonly backfill: string;
  readonly partitions: Ranges;
  readonly fingerprint: string;
  readonly definition: string;
  readonly rows: number;
  /** The content hash of one partition, or a digest of those of several. */
  readonly outputHash: string;
  readonly hashAlgorithm: string;
  /** Instants as ISO 8601 in UTC. */
  readonly computedAt: string;
  /** The backfill that computed the rows, where they were taken over from it. */
  readonly adoptedFrom: string | null;
  readonly workers: readonly string[];
  readonly traceIds: readonly string[];
  /** How many of the partitions are live now. */
  readonly live: number;
  /** Null where the partitions were asked for by their backfill and it is not promoted. */
  readonly promotedAt: string | null;
  readonly promotedBy: string | null;
  readonly promotedBecause: string | null;
  /** The backfill that last proved the content equal to what a newer definition would give. */
  readonly confirmedBy: string | null;
}

/** What stamps read of one dataset through one of their inputs. */
export interface Reading {
  readonly input: string;
  readonly dataset: string;
  /** "candidate": computed by the same backfill. "live": read as it was. */
  readonly from: "candidate" | "live";
  /** Null where everything was read that there was. */
  readonly partitions: Ranges | null;
  /** When the first of the stamps began to read: nothing that it read live changed until it was promoted. */
  readonly readAt: string;
}

/** What one backfill's stamps of a dataset read of some partitions, and which stamps those were. */
export interface Reader extends Reading {
  readonly reader: string;
  readonly backfill: string;
  readonly readers: Ranges;
}

/** Later than every promotion. */
export const always = "infinity";

const iso = (expression: string) => `to_char(${expression} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** Promotions that are in force at $1, with what they retired: partitions that were cut otherwise before. */
const inForce = `promotion as materialized (
  select p.* from (
    select a.backfill, a.at, a.actor, a.reason, (
      select min(r.at) from rederive.audit r
      where r.backfill = a.backfill and r.act = 'backfill.rollback' and r.at > a.at) as until
    from rederive.audit a
    where a.act = 'backfill.promote' and a.at <= $1::text::timestamptz
  ) p where p.until is null or p.until > $1::text::timestamptz
), retired as materialized (
  select p.at, r.dataset, range_agg(int8range((part ->> 0)::int8, (part ->> 1)::int8)) as partitions
  from promotion p
  join rederive.backfill b on b.id = p.backfill and b.decision like '%"retired":[{%'
  cross join lateral jsonb_to_recordset(b.decision::jsonb -> 'retired') as r (dataset text, partitions jsonb)
  cross join lateral jsonb_array_elements(r.partitions) part
  group by p.at, r.dataset
)`;

/** The stamp that was live for each partition; $2 has the datasets and $3 their partitions as multiranges. */
const origins = `origin as materialized (
  select distinct on (t.dataset, t.partition) t.dataset, t.partition, t.id as task, p.backfill, p.at, p.actor, p.reason
  from unnest($2::text[], $3::text[]) as w (dataset, partitions)
  cross join promotion p
  join rederive.task t on t.backfill = p.backfill and t.dataset = w.dataset and t.state = 'done'
    and w.partitions::int8multirange @> t.partition
  where not exists (
    select from retired r where r.dataset = t.dataset and r.at > p.at and r.partitions @> t.partition)
  order by t.dataset, t.partition, p.at desc
)`;

interface OriginRow extends Omit<Origin, "partitions"> {
  readonly partitions: string;
}

/** Who computed the rows of a stamp: the one that they were taken over from, which is the older one, or itself. */
const computing = `join lateral (
  select * from rederive.stamp o where o.id in (s.adopted_from, s.id) order by o.id limit 1) c on true`;

const described = (source: string, confirmed: string) => `
  select s.dataset, s.backfill, range_agg(int8range(s.partition, s.partition + 1))::text as partitions,
    min(s.fingerprint) as fingerprint, min(s.definition) as definition, sum(s.rows_written)::float8 as rows,
    case when count(*) = 1 then min(s.output_hash)
      else md5(string_agg(s.partition || ':' || s.output_hash, ',' order by s.partition)) end as "outputHash",
    min(s.hash_algorithm) as "hashAlgorithm", ${iso("max(c.finished_at)")} as "computedAt",
    max(c.backfill) filter (where c.id <> s.id) as "adoptedFrom", (array_agg(distinct c.worker))[1:8] as workers,
    coalesce((array_agg(distinct c.trace_id) filter (where c.trace_id is not null))[1:8], '{}') as "traceIds",
    (count(*) filter (where l.stamp = s.id))::float8 as live,
    ${iso("max(o.at)")} as "promotedAt", max(o.actor) as "promotedBy", max(o.reason) as "promotedBecause",
    ${confirmed} as "confirmedBy"
  from ${source} o
  join rederive.stamp s on s.task = o.task
  ${computing}
  left join rederive.live l on l.dataset = s.dataset and l.partition = s.partition
  group by s.dataset, s.backfill
  order by s.dataset, min(s.partition), s.backfill`;

/** Where these partitions came from, as they were live at an instant (ISO 8601, or `always` for now). */
export async function originsAt(
  tx: Tx,
  at: string,
  of: readonly { readonly dataset: string; readonly partitions: Ranges }[],
): Promise<Origin[]> {
  const rows = await tx.query<OriginRow>(
    `with ${inForce}, ${origins}${described(
      "origin",
      `(select q.backfill from promotion q
        join rederive.live_before b on b.backfill = q.backfill and b.dataset = s.dataset
        where q.at > max(o.at) and range_agg(int8range(s.partition, s.partition + 1)) @> b.partition
          and not exists (select from retired r where r.at = q.at and r.dataset = s.dataset)
        order by q.at desc limit 1)`,
    )}`,
    [at, of.map(({ dataset }) => dataset), of.map(({ partitions }) => toMultirange(partitions))],
  );
  return rows.map(originOf);
}

/** The same of one backfill, whether its content is, was or never will be live. */
export async function originsOf(tx: Tx, backfill: string, dataset: string, partitions: Ranges): Promise<Origin[]> {
  const rows = await tx.query<OriginRow>(
    `with made as (
       select t.id as task, a.at, a.actor, a.reason
       from rederive.task t
       left join lateral (
         select at, actor, reason from rederive.audit
         where backfill = t.backfill and act = 'backfill.promote' order by at desc limit 1) a on true
       where t.backfill = $1::text and t.dataset = $2::text and t.state = 'done'
         and $3::text::int8multirange @> t.partition
     )${described("made", "null::text")}`,
    [backfill, dataset, toMultirange(partitions)],
  );
  return rows.map(originOf);
}

function originOf(row: OriginRow): Origin {
  return { ...row, partitions: fromMultirange(row.partitions) };
}

/** The inputs of stamps, a row for each range that was read, or one without where there is none. */
const readings = `cross join lateral jsonb_array_elements(s.inputs) i
  cross join lateral (values ('candidate', i -> 'recomputed'), ('live', i -> 'live')) k (source, ranges)
  left join lateral jsonb_array_elements(k.ranges) r on true`;
const readRange = "int8range((r ->> 0)::int8, (r ->> 1)::int8)";

/** What the stamps of these partitions of one backfill's dataset read. */
export async function readingsOf(tx: Tx, backfill: string, dataset: string, partitions: Ranges): Promise<Reading[]> {
  const rows = await tx.query<Omit<Reading, "partitions"> & { partitions: string | null; everything: boolean }>(
    `select i ->> 'input' as input, i ->> 'dataset' as dataset, k.source as from,
       bool_or(k.source = 'live' and (i ->> 'everything') is not null) as everything,
       range_agg(${readRange}) filter (where r is not null)::text as partitions, ${iso("min(c.started_at)")} as "readAt"
     from rederive.task t join rederive.stamp s on s.task = t.id
     ${computing}
     ${readings}
     where t.backfill = $1::text and t.dataset = $2::text and $3::text::int8multirange @> t.partition and t.state = 'done'
     group by 1, 2, 3
     having count(r) > 0 or bool_or(k.source = 'live' and (i ->> 'everything') is not null)
     order by 1, 2, 3`,
    [backfill, dataset, toMultirange(partitions)],
  );
  return rows.map(({ everything, ...row }) => ({ ...row, partitions: everything ? null : rangesOf(row.partitions) }));
}

/** Stamps of these datasets, live at an instant, that read some of these partitions of `dataset`. */
export async function readersAt(
  tx: Tx,
  at: string,
  args: {
    readonly dataset: string;
    readonly partitions: Ranges;
    readonly readers: readonly { readonly dataset: string; readonly partitions: Ranges }[];
  },
): Promise<Reader[]> {
  const { dataset, partitions, readers } = args;
  const rows = await tx.query<Omit<Reader, "partitions" | "readers"> & { partitions: string | null; readers: string }>(
    `with ${inForce}, ${origins}
     select o.dataset as reader, o.backfill, range_agg(int8range(o.partition, o.partition + 1))::text as readers,
       i ->> 'input' as input, i ->> 'dataset' as dataset, k.source as from,
       (range_agg(${readRange}) filter (where r is not null) * $5::text::int8multirange)::text as partitions,
       ${iso("min(c.started_at)")} as "readAt"
     from origin o join rederive.stamp s on s.task = o.task
     ${computing}
     ${readings}
     where i ->> 'dataset' = $4::text
       and ((r is not null and ${readRange} && $5::text::int8multirange) or (k.source = 'live' and (i ->> 'everything') is not null))
     group by 1, 2, 4, 5, 6
     order by 1, 2, 4, 6`,
    [
      at,
      readers.map((reader) => reader.dataset),
      readers.map((reader) => toMultirange(reader.partitions)),
      dataset,
      toMultirange(partitions),
    ],
  );
  return rows.map((row) => ({
    ...row,
    partitions: row.partitions === null ? null : rangesOf(row.partitions),
    readers: fromMultirange(row.readers),
  }));
}

/** Who asked for a backfill, and why. */
export interface BackfillOrigin {
  readonly backfill: string;
  readonly requestedBy: string;
  readonly reason: string;
  readonly planHash: string;
  readonly state: string;
  /** Versions by dataset. */
  readonly versions: Readonly<Record<string, number>>;
}

export async function backfillOrigins(tx: Tx, backfills: readonly string[]): Promise<Map<string, BackfillOrigin>> {
  const rows = await tx.query<BackfillOrigin>(
    `select b.id as backfill, b.requested_by as "requestedBy", b.reason, b.plan_hash as "planHash", b.state,
       (select coalesce(jsonb_object_agg(step ->> 'dataset', step -> 'version'), '{}')
        from jsonb_array_elements(b.decision::jsonb -> 'steps') step
        where step ->> 'action' = 'recompute') as versions
     from rederive.backfill b where b.id = any($1::text[])`,
    [backfills],
  );
  return new Map(rows.map((row) => [row.backfill, row]));
}

function rangesOf(multirange: string | null): Ranges {
  return fromMultirange(multirange ?? "{}");
}
