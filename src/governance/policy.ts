/**
 * How many people have to agree to a plan, and when live tables may change. Pure: from the configuration and the facts
 * of a plan to what it needs. What is needed is written down with the plan, so that a policy that becomes milder later
 * changes nothing for it.
 */
import { Temporal } from "temporal-polyfill";
import { criticalityLevels } from "../catalog/catalog.ts";
import type { ChangeWindow, GovernanceSettings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import type { Requirement } from "../report.ts";

export interface PlanFacts {
  /** Rows that the plan is expected to write; undefined where nobody knows. */
  readonly rows: number | undefined;
  /** 0 none to 4 critical: the highest of the exposures downstream. */
  readonly criticality: number;
  /** Owner groups of the exposures that the plan touches. */
  readonly owners: readonly string[];
}

export function requirementOf(settings: GovernanceSettings, facts: PlanFacts): Requirement {
  const more = settings.thresholds
    .filter(({ rows, criticality }) => isReached({ rows, criticality }, facts))
    .map(({ approvals }) => approvals);
  return {
    start: Math.max(settings.startApprovals, ...more),
    promote: settings.promotionApprovals,
    signOff: settings.signOff ? [...new Set(facts.owners)].sort() : [],
  };
}

/** Of two requirements everything that either asks for. */
export function strictest(one: Requirement, other: Requirement): Requirement {
  return {
    start: Math.max(one.start, other.start),
    promote: Math.max(one.promote, other.promote),
    signOff: [...new Set([...one.signOff, ...other.signOff])].sort(),
  };
}

/** A plan of which nobody knows how many rows it writes reaches every limit of rows. */
function isReached(
  { rows, criticality }: Pick<GovernanceSettings["thresholds"][number], "rows" | "criticality">,
  facts: PlanFacts,
): boolean {
  if (rows !== undefined && (facts.rows === undefined || facts.rows >= rows)) return true;
  return criticality !== undefined && facts.criticality >= criticalityLevels[criticality];
}

/** Throws `outside_change_window` where live tables may not change at `instant`. */
export function requireChangeWindow(window: ChangeWindow | undefined, instant: Date): void {
  if (window === undefined) return;
  const local = Temporal.Instant.fromEpochMilliseconds(instant.getTime()).toZonedDateTimeISO(window.timeZone);
  const time = local.toPlainTime().toString({ smallestUnit: "minute" });
  const day = weekdays[local.dayOfWeek - 1] as (typeof weekdays)[number];
  const isDay = window.days === undefined || window.days.includes(day);
  if (isDay && time >= window.from && time < window.to) return;
  throw new RederiveError(
    "outside_change_window",
    `live tables change ${window.days?.join(", ") ?? "every day"} from ${window.from} to ${window.to} (${window.timeZone}); ` +
      `there it is ${day} ${time}. Wait, or let an admin promote with an override and its reason`,
    { details: { days: window.days ?? weekdays, from: window.from, to: window.to, timeZone: window.timeZone } },
  );
}

/** In the order of ISO 8601. */
const weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
