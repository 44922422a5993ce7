/** The flights: loaded once, with derived tables that are empty every time. */
import { loadFlights } from "../load.ts";
import { createTables, dropDerived } from "../schema.ts";
import type { Stage } from "../stage.ts";
import { count, plural } from "../story.ts";

/** Returns how many flights there are. */
export async function loadData({ client, options, story }: Stage): Promise<number> {
  await dropDerived(client);
  await createTables(client);
  const loaded = await story.timed(
    ({ rows, present }: { rows: number; present: boolean }) =>
      `${count(rows)} real US flights in table flight${present ? ", loaded earlier" : ""}`,
    () =>
      loadFlights(client, {
        ...(options.rows === undefined ? {} : { rows: options.rows }),
        onProgress: (progress) => story.progress(`loading ${count(progress.rows)} of ${count(progress.total)} flights`),
      }),
  );
  const { rows } = await client.query<{ first: string; last: string; days: number; early: number }>(
    `select min(departed_at)::date::text as first, max(departed_at)::date::text as last,
       count(distinct departed_at::date)::integer as days, round(100.0 * count(*) filter (where delay < 0) / count(*))::integer as early
     from flight`,
  );
  const facts = rows[0];
  if (facts)
    story.line(
      `${plural(facts.days, "day")} from ${facts.first} to ${facts.last}; ${facts.early} % of the flights were early`,
    );
  return loaded.rows;
}
