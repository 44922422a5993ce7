/** The candidates become live. */
import type { Backfill } from "rederive";
import type { Stage } from "../stage.ts";
import { plural } from "../story.ts";

export async function promote({ story }: Stage, backfill: Backfill, reason: string): Promise<void> {
  await story.timed(
    ({ datasets }: Awaited<ReturnType<Backfill["promote"]>>) => {
      const rows = datasets.reduce((sum, { inserted, updated, deleted }) => sum + inserted + updated + deleted, 0);
      return `promoted ${plural(rows, "row")} of ${plural(datasets.length, "table")} in one transaction`;
    },
    () => backfill.promote({ reason }),
  );
}

/** Makes one promoted row wrong, to show that the proof would notice. */
export async function plant({ story, client }: Stage): Promise<void> {
  const { rows } = await client.query<{ day: string; airport: string }>(
    `update airport_day set average_delay = average_delay + 1
     where (day, airport) = (select day, airport from airport_day where early_flights > 0 order by day, airport limit 1)
     returning day::text, airport`,
  );
  story.line(
    `--plant: added a minute to the average of ${rows[0]?.airport} on ${rows[0]?.day}, behind rederive's back`,
  );
}
