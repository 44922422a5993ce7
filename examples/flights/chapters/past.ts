/** The past: version 1, with the bug, computed and promoted as an application would have done long ago. */
import beforeTheFix from "../before-the-fix.config.ts";
import { actor, open, type Stage } from "../stage.ts";
import { run } from "./run.ts";

export async function computeThePast(stage: Stage): Promise<void> {
  const { story, client } = stage;
  story.line("Six tables derive from the flights: facts, days, routes, months, a seven-day trend, a ranking.");
  await using rederive = await open(stage, beforeTheFix);
  const backfill = await rederive.as(actor).plan({ reason: "first computation" });
  await run(stage, rederive, backfill, "before-the-fix.config.ts");
  await story.timed("promoted: version 1 is what people see", () => backfill.promote({ reason: "first computation" }));
  // What no transform owns must survive everything that follows.
  await client.query("update airport_ranking set note = 'new runway in June' where rank = 1");
}
