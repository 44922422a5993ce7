/** The way back: what was live before the promotion is live again. */
import type { Backfill } from "rederive";
import { changedTables, fingerprint } from "../oracle.ts";
import { derivedTables } from "../schema.ts";
import type { Stage } from "../stage.ts";
import { prove } from "./proof.ts";

/** Rolls back and returns how many rows are not what they were before the promotion. */
export async function rollBack(
  stage: Stage,
  backfill: Backfill,
  before: Awaited<ReturnType<typeof fingerprint>>,
): Promise<number> {
  const { story, client, options } = stage;
  // A planted row is a later write, which a rollback does not touch unless told to.
  const onLaterWrites = options.plant ? "overwrite" : "refuse";
  await story.timed("rolled back", () => backfill.rollback({ reason: "an exercise", onLaterWrites }));
  const differing = changedTables(before, await fingerprint(client));
  story.line(
    differing.length === 0
      ? "every table is what it was before the promotion, in every column, a note written by hand included"
      : `not what they were before the promotion: ${differing.join(", ")}`,
  );
  // The facts were reused and cannot have moved; that they have not is in the fingerprint.
  const written = derivedTables.filter((table) => table !== "flight_facts");
  return Math.max(differing.length, await prove(stage, 1, written));
}
