/**
 * Whether an actor may do something: every use case goes through here. The role first; then, of people who are limited to
 * the datasets of their groups, what the request names, and what the answer says. Who sees everything pays nothing for it.
 * What is refused for reasons of governance is put on record.
 */
import type { Derived } from "../catalog/dataset.ts";
import { isRederiveError, RederiveError } from "../errors.ts";
import { authorize, type UseCase } from "../governance/roles.ts";
import { errorInSight, inSight, reach, type Sight } from "../governance/visibility.ts";
import { recomputeSteps } from "../plan.ts";
import { decisionOf } from "../store/backfills.ts";
import { listBaselines } from "../store/baselines.ts";
import { appendDenial } from "../store/denials.ts";
import { type Context, requireBackfill, unknownBackfill } from "./context.ts";

/** What a request is about. */
export interface About {
  readonly backfill?: string | undefined;
  readonly datasets?: readonly (Derived | string)[] | undefined;
  readonly exposure?: string | undefined;
  readonly baseline?: string | undefined;
  /** A query of the person's own over any dataset. */
  readonly query?: string | undefined;
}

/** Throws `forbidden`, or `not_found` for what a limited person does not see, in the words for what does not exist. */
export async function permitted<Answer>(
  context: Context,
  useCase: UseCase,
  about: About,
  run: () => Promise<Answer>,
): Promise<Answer> {
  const { sight } = context;
  try {
    authorize(context.actor, useCase);
    if (sight === undefined) return await run();
    await requireInSight(context, sight, useCase, about);
    return await cut(sight, run);
  } catch (error) {
    await recordDenial(context, useCase, about, error);
    throw error;
  }
}

/** What is answered or refused, without what is not theirs. Names that they wrote themselves were looked at before. */
async function cut<Answer>(sight: Sight, run: () => Promise<Answer>): Promise<Answer> {
  try {
    return inSight(sight, await run());
  } catch (error) {
    throw errorInSight(sight, error);
  }
}

/** Throws `forbidden` where a plan recomputes what is not theirs. */
export function requireAllInSight({ sight, actor }: Context, datasets: readonly string[]): void {
  if (sight === undefined || datasets.every((name) => sight.datasets.has(name))) return;
  throw new RederiveError(
    "forbidden",
    `this recomputes datasets outside of those of ${actor.name}; ask somebody whose groups own them all`,
    { details: { groups: actor.groups ?? [] } },
  );
}

async function requireInSight(context: Context, sight: Sight, useCase: UseCase, about: About): Promise<void> {
  for (const dataset of about.datasets ?? []) {
    const name = typeof dataset === "string" ? dataset : dataset.name;
    if (!sight.datasets.has(name)) throw unknown("dataset", name);
  }
  const { exposure, baseline, backfill } = about;
  if (exposure !== undefined && !sight.exposures.has(exposure)) throw unknown("exposure", exposure);
  if (baseline !== undefined) {
    const versions = await listBaselines(context.database, { name: baseline });
    if (!versions.some(({ dataset }) => sight.datasets.has(dataset))) throw unknown("baseline", baseline);
    requireAllInSight(
      context,
      versions.map(({ dataset }) => dataset),
    );
  }
  if (backfill !== undefined) await requireBackfillInSight(context, sight, useCase, backfill);
  if (reach[useCase] === "everything" || about.query !== undefined) throw tooNarrow(context, useCase);
}

/** For what cannot be cut to some datasets. */
function tooNarrow({ actor }: Pick<Context, "actor">, useCase: UseCase): RederiveError {
  const groups = actor.groups ?? [];
  if (useCase === "queue.read" || useCase === "metrics.read") {
    return new RederiveError("not_found", "there is nothing at this path");
  }
  return new RederiveError(
    "forbidden",
    `${useCase} is for people who see all datasets; ${actor.name} sees those of ${groups.join(", ")}`,
    { details: { useCase, groups } },
  );
}

/** One that recomputes nothing of theirs is not there; one that recomputes theirs and others is looked at alone. */
async function requireBackfillInSight(context: Context, sight: Sight, useCase: UseCase, id: string): Promise<void> {
  const row = await requireBackfill(context.database, id);
  const touched = recomputeSteps(decisionOf(row)).map(({ dataset }) => dataset);
  if (touched.length > 0 && !touched.some((name) => sight.datasets.has(name))) throw unknownBackfill(id);
  if (reach[useCase] === "touched") requireAllInSight(context, touched);
}

/** Said alike of what does not exist and of what is not theirs. */
function unknown(kind: "dataset" | "exposure" | "baseline", name: string): RederiveError {
  return new RederiveError("not_found", `there is no ${kind} ${JSON.stringify(name.slice(0, 80))} among yours`);
}

/** Refusals that say something about people; the others are about states and values. */
const denials: ReadonlySet<string> = new Set([
  ...["forbidden", "self_approval", "approval_required", "approval_void", "changes_requested", "outside_change_window"],
]);

/** Reading is not put on record, so neither is that somebody may not. */
function isControl(useCase: UseCase): boolean {
  return !/\.(read|diff|rows|preview|preflight)$/.test(useCase);
}

/** At most one entry a minute for the same actor, act and object, so that nobody fills the trail. */
async function recordDenial(
  { actor, database }: Pick<Context, "actor" | "database">,
  useCase: UseCase,
  about: About,
  error: unknown,
): Promise<void> {
  if (!isControl(useCase) || !isRederiveError(error) || !denials.has(error.code)) return;
  const details = { useCase, code: error.code, role: actor.role };
  try {
    await appendDenial(database, { actor: actor.name, backfill: about.backfill, details });
  } catch {
    // The refusal stands, and says more than that it could not be written down.
  }
}
