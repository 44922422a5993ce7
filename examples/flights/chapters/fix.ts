/** The fix: version 2, and what there is to do for it. */
import type { Backfill, Rederive } from "rederive";
import { explainPlan } from "../../../src/planner/explain.ts";
import { actor, type Stage } from "../stage.ts";

/** Plans the repair and shows the plan. */
export async function planTheFix({ story }: Stage, rederive: Rederive): Promise<Backfill> {
  story.line(
    "Averages subtracted the minutes of early flights from those of late ones. The fix counts early as 0 minutes",
  );
  story.line("late, in airport_day and route_day. What is there to do?");
  const backfill = await story.timed(
    ({ id }: Backfill) => `planned ${id}; nothing has run and nothing has changed yet`,
    () => rederive.as(actor).plan({ reason: "early departures cancelled delays in the averages" }),
  );
  story.line("");
  for (const line of explainPlan(rederive.catalog, backfill.plan)) story.line(line);
  return backfill;
}
