/**
 * `rederive run`: starts a planned backfill and follows it to its end, or follows one that is running.
 *
 * With `--workers N` (the default where the servers are embedded) the work is done in this process; else by the fleet.
 */
import type { Command } from "commander";
import { RederiveError } from "../errors.ts";
import type { RunEvent, Status } from "../report.ts";
import { exitCodeOfState } from "./exit.ts";
import { interruptible } from "./interrupt.ts";
import { wholeNumber } from "./numbers.ts";
import { type CommonOptions, type Opened, withRederive } from "./open.ts";
import { type PlanOptions, planInputOf } from "./plan.ts";
import { progressLine, statusLines } from "./status.ts";

interface RunOptions extends CommonOptions, PlanOptions {
  readonly workers?: number;
  readonly detach?: boolean;
}

export function addRun(program: Command): void {
  program
    .command("run")
    .description("start a planned backfill and follow it; without an id, plan what changed and run that")
    .argument("[backfill]")
    .option("--workers <n>", "run the tasks in this process, n at a time", wholeNumber(0, 256))
    .option("--reason <text>", "why, where a plan is made here")
    .option("--detach", "start it and return at once")
    .action(async (id: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      await withRederive(options, (opened) => runCommand(id, options, opened), { lock: "refresh" });
    });
}

async function runCommand(id: string | undefined, options: RunOptions, opened: Opened): Promise<void> {
  const { acting, output } = opened;
  const backfill = id === undefined ? await acting.plan(planInputOf([], options)) : await acting.backfill(id);
  const { state } = await backfill.status();
  if (state === "planned" || state === "approved") await backfill.start();
  else if (state !== "running") {
    throw new RederiveError(
      "wrong_state",
      `${backfill.id} is ${state}; resume, retry or plan again instead of running it`,
    );
  }
  if (options.detach === true) {
    output.data({ event: "started", backfill: backfill.id });
    output.text(`${backfill.id} is running; follow it with: rederive status ${backfill.id}`);
    return;
  }
  await using work = await startWork(backfill.id, options, opened);
  if (work.warning !== undefined) output.note(work.warning);
  const onInterrupt = (): void => output.note("stopping; press Ctrl-C again to end at once");
  const status = await interruptible({ message: work.interrupted, onInterrupt }, (signal) =>
    backfill.finished({ signal, onProgress: (event) => show(event, opened) }),
  );
  output.endProgress();
  await report(status, opened);
}

interface Work extends AsyncDisposable {
  readonly warning: string | undefined;
  /** What Ctrl-C leaves behind. */
  readonly interrupted: string;
}

/** Workers and a planner in this process, where asked for or where there can be no fleet. */
async function startWork(id: string, options: RunOptions, { rederive, acting }: Opened): Promise<Work> {
  const count = options.workers ?? (rederive.settings.embedded ? 2 : 0);
  if (count === 0) {
    const [latest] = await acting.backfills({ limit: 1 });
    const alone = latest?.workers === 0;
    const warning = alone ? "no worker is running; start some with: rederive worker (and rederive planner)" : undefined;
    const interrupted = `stopped following; ${id} goes on with the fleet`;
    return { warning, interrupted, [Symbol.asyncDispose]: async () => {} };
  }
  const planner = rederive.startPlanner();
  const worker = await rederive.startWorker({ concurrency: count });
  return {
    warning: undefined,
    interrupted: `stopped; running tasks were let finish, and "rederive run ${id}" goes on from here`,
    [Symbol.asyncDispose]: async () => {
      await worker.stop();
      await planner.stop();
    },
  };
}

function show(event: RunEvent, { output }: Opened): void {
  if (output.json) output.data(event);
  if (event.event === "progress") output.progress(progressLine(event));
  if (event.event === "held") output.note(`held: ${event.dataset}: ${event.reason}`);
  if (event.event === "late") output.note(event.message);
}

async function report(status: Status, { output }: Opened): Promise<void> {
  const { finishedEvent } = await import("../usecases/status.ts");
  output.data(finishedEvent(status));
  for (const line of statusLines(status)) output.text(line);
  process.exitCode = exitCodeOfState(status.state);
}
