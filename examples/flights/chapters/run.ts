/** A planned backfill on a fleet of workers, to its end. */
import type { Backfill, Rederive, Status } from "rederive";
import { startFleet } from "../fleet.ts";
import type { Stage } from "../stage.ts";
import { count, plural } from "../story.ts";

/** Anything but a verified end ends the demo. */
export async function run(stage: Stage, rederive: Rederive, backfill: Backfill, config: string): Promise<Status> {
  const { options, story, servers } = stage;
  const { workers, inProcess } = options;
  const planner = rederive.startPlanner();
  const fleet = await startFleet(rederive, {
    workers,
    inProcess,
    config,
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
  });
  try {
    await backfill.start();
    return await story.timed(
      (status: Status) =>
        `${plural(status.total, "task")} done by ${plural(workers, inProcess ? "worker" : "worker process")}, ${plural(rowsOf(status), "row")} written`,
      async () => {
        const status = await backfill.finished({
          signal: fleet.signal,
          onProgress: (event) => {
            if (event.event !== "progress") return;
            const { tasks, total, rows } = event;
            story.progress(
              `${count(tasks.done)} of ${plural(total, "task")} done, ${tasks.running} running, ${plural(rows, "row")}`,
            );
          },
        });
        if (status.state !== "verified") throw new Error(`${backfill.id} ended ${status.state}: ${reasonOf(status)}`);
        return status;
      },
    );
  } finally {
    await fleet.stop();
    await planner.stop();
  }
}

function rowsOf(status: Status): number {
  return status.datasets.reduce((sum, { rows }) => sum + rows, 0);
}

function reasonOf(status: Status): string {
  const [trouble] = status.troubles;
  const [check] = status.failedChecks.filter(({ severity }) => severity === "error");
  if (trouble) return `${trouble.dataset} ${trouble.partition}: ${trouble.error.message}`;
  return check ? `check ${check.name} of ${check.dataset}` : (status.stateReason ?? "no reason was recorded");
}
