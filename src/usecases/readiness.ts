/** Whether this process can serve: what /readyz says. Never throws. */

import type { Queues } from "../executor/queues.ts";
import { checkSchema } from "../store/migrate.ts";
import type { Database } from "../tx.ts";

export interface PartReadiness {
  readonly part: "postgres" | "migrations" | "redis";
  readonly ok: boolean;
}

export async function readiness(database: Database, queues: Queues): Promise<PartReadiness[]> {
  const [postgres, migrations, delivery] = await Promise.all([
    succeeds(database.query("select 1")),
    succeeds(checkSchema(database)),
    queues.health(),
  ]);
  const parts: PartReadiness[] = [
    { part: "postgres", ok: postgres },
    { part: "migrations", ok: migrations },
  ];
  return queues.backend === "redis" ? [...parts, { part: "redis", ok: delivery.reachable }] : parts;
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch {
    return false;
  }
}
