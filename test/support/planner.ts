/** A planner loop over tasks without data, and the state to which it brings their backfill. */
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Delivery } from "../../src/executor/deliver.ts";
import { PlannerLoop, type PlannerOptions } from "../../src/executor/planner-loop.ts";
import { moveBackfill } from "../../src/store/backfills.ts";
import { eventually } from "./eventually.ts";

const emptyCatalog = { datasets: new Map(), resources: {} } as unknown as Catalog;

/** Turns often; what has ended well is verified without a look at data. */
export function aPlanner(delivery: Delivery, options: Partial<PlannerOptions> = {}): PlannerLoop {
  return new PlannerLoop({
    delivery,
    catalog: emptyCatalog,
    holder: `p_${Math.random()}`,
    verify: async (id) => void (await moveBackfill(delivery.database, { id, to: "verified", reason: null })),
    activeMs: 50,
    idleMs: 100,
    sweepMs: 500,
    ...options,
  });
}

export interface BackfillState {
  readonly state: string;
  readonly reason: string | null;
}

export async function backfillState({ database }: Delivery, id: string): Promise<BackfillState | undefined> {
  const [row] = await database.query<BackfillState>(
    "select state, state_reason as reason from rederive.backfill where id = $1::text",
    [id],
  );
  return row;
}

/** Resolves when the backfill has reached the state. */
export function untilBackfill(delivery: Delivery, id: string, state: string, withinMs = 50_000) {
  return eventually(
    () => backfillState(delivery, id),
    (row) => row?.state === state,
    { what: `${id} is ${state}`, withinMs },
  );
}
