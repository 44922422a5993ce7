/** Whether this process can serve: what /readyz says. Never throws. */

import type { Queues } from "../executor/queues.ts";
import { type AuditLag, auditLag } from "../store/audit-chain.ts";
import { checkSchema } from "../store/migrate.ts";
import type { Database } from "../tx.ts";

export interface PartReadiness {
  readonly part: "postgres" | "migrations" | "redis";
  readonly ok: boolean;
  /** Of Postgres: how far the chain of the audit trail is behind. It makes nothing unready. */
  readonly audit?: AuditLag;
}

export async function readiness(database: Database, queues: Queues): Promise<PartReadiness[]> {
  const [postgres, migrations, delivery, audit] = await Promise.all([
    succeeds(database.query("select 1")),
    succeeds(checkSchema(database)),
    queues.health(),
    auditLag(database).catch(() => undefined),
  ]);
  const parts: PartReadiness[] = [
    { part: "postgres", ok: postgres, ...(audit && { audit }) },
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
