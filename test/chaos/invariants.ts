/** What must hold after every fault: asked of Postgres, compared with the oracle. */
import type { Tx } from "../../src/tx.ts";
import { divergenceOf } from "./oracle.ts";

export interface Findings {
  /** Tasks by state. */
  readonly states: Readonly<Record<string, number>>;
  readonly stamps: number;
  /** Committed effects of the task that had most of them. */
  readonly effectsPerTaskMax: number;
  /** Tasks that are done without exactly one effect, or have one without being done. */
  readonly uncounted: number;
  /** Edges of done producers that are not done, or the other way round. */
  readonly crookedEdges: number;
  /** Tasks that began before what they read was done. */
  readonly early: number;
  /** Rows wrong or missing in the candidates, by dataset. */
  readonly divergence: Readonly<Record<string, number>>;
  readonly running: number;
}

/** For a backfill in which nothing was retried on purpose; all partitions of `datasets` are recomputed. */
export async function examine(tx: Tx, backfill: string, datasets?: readonly string[]): Promise<Findings> {
  const states = await tx.query<{ state: string; count: number }>(
    "select state, count(*)::int4 as count from rederive.task where backfill = $1::text group by state",
    [backfill],
  );
  const [counts] = await tx.query<Omit<Findings, "states" | "divergence">>(
    `with effects as (
       select t.id, t.state, count(e.task)::int4 as count from rederive.task t left join chaos.effect e on e.task = t.id
       where t.backfill = $1::text group by t.id
     )
     select (select count(*) from rederive.stamp where backfill = $1::text)::int4 as stamps,
       (select max(count) from effects) as "effectsPerTaskMax",
       (select count(*) from effects where count <> (state = 'done')::int4)::int4 as uncounted,
       (select count(*) from rederive.edge e join rederive.task p on p.id = e.producer
        where p.backfill = $1::text and e.done <> (p.state in ('done', 'unchanged')))::int4 as "crookedEdges",
       (select count(*) from rederive.edge e join rederive.task p on p.id = e.producer
        join rederive.task c on c.id = e.consumer
        where p.backfill = $1::text and c.claimed_at is not null and not coalesce(p.finished_at <= c.claimed_at, false))::int4 as early,
       (select count(*) from rederive.task where state = 'running')::int4 as running`,
    [backfill],
  );
  const parts = await tx.query<{ dataset: string; candidate: string }>(
    "select dataset, candidate from rederive.backfill_dataset where backfill = $1::text order by ordinal",
    [backfill],
  );
  const divergence: Record<string, number> = {};
  for (const { dataset, candidate } of parts) {
    if (datasets !== undefined && !datasets.includes(dataset)) continue;
    divergence[dataset] = await divergenceIn(tx, candidate, dataset);
  }
  return {
    states: Object.fromEntries(states.map(({ state, count }) => [state, count])),
    ...(counts as Omit<Findings, "states" | "divergence">),
    divergence,
  };
}

/** How often a partition was charged with the loss of its worker. */
export async function lossesIn({ sql }: { readonly sql: Tx }): Promise<number | undefined> {
  const [row] = await sql.query<{ losses: number }>("select sum(losses)::int4 as losses from rederive.task");
  return row?.losses;
}

/** Of a whole table against the oracle. */
export async function divergenceIn(tx: Tx, table: string, dataset: string): Promise<number> {
  const [row] = await tx.query<{ divergence: number }>(divergenceOf(table, dataset));
  return row?.divergence ?? -1;
}

/** Backends that the processes of the fleet left behind in a transaction. */
export async function leftovers(tx: Tx): Promise<readonly { application: string; state: string }[]> {
  return tx.query(
    `select application_name as application, state from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and application_name like 'rederive%'
       and state like 'idle in transaction%'`,
  );
}
