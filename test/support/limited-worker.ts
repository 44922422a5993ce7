/** A worker process on one queue that does nothing but say when it started each job; see executor/limits.test.ts. */
import { openQueues } from "../../src/executor/queues.ts";

const [backend, databaseUrl, redisUrl, prefix, queue] = process.argv.slice(2) as [
  "redis" | "postgres",
  string,
  string,
  string,
  string,
];
const queues = openQueues({
  backend,
  databaseUrl,
  redisUrl: redisUrl === "" ? undefined : redisUrl,
  prefix,
  leaseMs: 30_000,
});
const worker = queues.worker(queue, async () => void process.send?.(Date.now()), { concurrency: 20 });
process.on("message", () => {
  void worker
    .close(true)
    .then(() => queues.close())
    .then(() => process.exit(0));
});
await worker.waitUntilReady();
process.send?.("ready");
