/** Warns once of a running backfill that will miss its deadline: in its status, in the audit trail, and to the caller. */
import type { Forecast } from "../plan.ts";
import { latenessOf, latenessText } from "../planner/pace.ts";
import { appendAudit } from "../store/audit.ts";
import { dueBackfills, noteLateness, settledSince } from "../store/deadlines.ts";
import { holdTerm } from "../store/leaders.ts";
import type { RunningBackfill } from "../store/release.ts";
import type { Database } from "../tx.ts";
import type { Term } from "./settle.ts";

/** What to warn of, one entry a backfill; nothing where it was warned of before. */
export async function warnOfDeadlines(
  database: Database,
  term: Term,
): Promise<{ readonly backfill: string; readonly message: string }[]> {
  const warnings: { backfill: string; message: string }[] = [];
  for (const { id, forecast, since, now } of await dueBackfills(database)) {
    const at = deadlineOf(forecast);
    const datasets = await settledSince(database, id, since);
    const late = latenessOf({ since, now, deadline: Date.parse(at), forecast, datasets });
    if (late === undefined) continue;
    const message = latenessText(at, late);
    const noted = await database.transaction(async (tx) => {
      if (!(await holdTerm(tx, term)) || !(await noteLateness(tx, id, late))) return false;
      await appendAudit(tx, { actor: "planner", act: "backfill.late", backfill: id, reason: message });
      return true;
    });
    if (noted) warnings.push({ backfill: id, message });
  }
  return warnings;
}

function deadlineOf({ deadline }: Forecast): string {
  return deadline?.at ?? "";
}

/** `b` can wait for `a`: it matters less, or as much and has more time. */
export function isMoreUrgent(a: RunningBackfill, b: RunningBackfill): boolean {
  if (a.criticality !== b.criticality) return a.criticality > b.criticality;
  return a.deadline !== null && (b.deadline === null || a.deadline < b.deadline);
}
