/** rederive as a contender: through its public API, in one process, with as many lanes as the rivals. */
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRederive, type Derived, type Rederive } from "rederive";
import { updateLockFile } from "../src/lock-file.ts";
import { catalog } from "./catalog.ts";
import type { Servers } from "./servers.ts";

export interface Product extends AsyncDisposable {
  /** Plans, runs and verifies one dataset, planning and stamps included; promotes nothing. */
  backfill(dataset: Derived, window?: { readonly from: string; readonly to: string }): Promise<void>;
  /** Drops what the last backfill left, so that the next one starts from nothing. */
  clear(): Promise<void>;
}

export async function openProduct(servers: Servers, lanes: number): Promise<Product> {
  const lockFile = join(tmpdir(), `rederive-bench-${process.pid}.lock.json`);
  await updateLockFile(lockFile, catalog, fileURLToPath(new URL("catalog.ts", import.meta.url)));
  const rederive = await createRederive({
    catalog,
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
    environment: "development",
    lockFile,
    concurrency: lanes,
  });
  rederive.startPlanner();
  await rederive.startWorker();
  return new BenchProduct(rederive, lockFile);
}

class BenchProduct implements Product {
  readonly #rederive: Rederive;
  readonly #lockFile: string;
  #last: string | undefined;

  constructor(rederive: Rederive, lockFile: string) {
    this.#rederive = rederive;
    this.#lockFile = lockFile;
  }

  async backfill(dataset: Derived, window?: { readonly from: string; readonly to: string }): Promise<void> {
    const acting = this.#rederive.as({ name: "bench", role: "admin" });
    const backfill = await acting.plan({ datasets: [dataset], reason: "bench", ...(window && { window }) });
    this.#last = backfill.id;
    await backfill.start();
    const status = await backfill.finished();
    if (status.state !== "verified") throw new Error(`${dataset.name} ended ${status.state}: ${status.stateReason}`);
  }

  async clear(): Promise<void> {
    if (this.#last === undefined) return;
    const backfill = await this.#rederive.as({ name: "bench", role: "admin" }).backfill(this.#last);
    if ((await backfill.status()).state !== "cancelled") await backfill.cancel({ reason: "the next round" });
    this.#last = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rederive.close();
    await rm(this.#lockFile, { force: true });
  }
}
