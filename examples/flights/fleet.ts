/**
 * The demo's workers: processes of `rederive worker`, as a deployment has them. `inProcess` starts them here instead,
 * for debuggers and for machines where a process is dear.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Rederive } from "rederive";

export interface Fleet {
  /** Aborts, with its last words, when a worker ends that nobody stopped. */
  readonly signal: AbortSignal;
  /** Lets every worker finish what it has begun. */
  stop(): Promise<void>;
}

export interface FleetOptions {
  readonly workers: number;
  readonly inProcess: boolean;
  /** Configuration file beside this one. */
  readonly config: string;
  readonly databaseUrl: string;
  readonly redisUrl: string | undefined;
}

/** Tasks at a time in each worker. */
const concurrency = 2;

export async function startFleet(rederive: Rederive, options: FleetOptions): Promise<Fleet> {
  return options.inProcess ? startHere(rederive, options) : startProcesses(options);
}

async function startHere(rederive: Rederive, { workers }: FleetOptions): Promise<Fleet> {
  const running = await Promise.all(Array.from({ length: workers }, () => rederive.startWorker({ concurrency })));
  return {
    signal: new AbortController().signal,
    stop: async () => {
      await Promise.all(running.map((worker) => worker.stop()));
    },
  };
}

function startProcesses(options: FleetOptions): Fleet {
  const failed = new AbortController();
  let stopping = false;
  const children = Array.from({ length: options.workers }, () =>
    startProcess(options, (lastWords) => {
      if (!stopping) failed.abort(new Error(`a worker process has ended: ${lastWords}`));
    }),
  );
  return {
    signal: failed.signal,
    stop: async () => {
      stopping = true;
      await Promise.all(children.map(stopProcess));
    },
  };
}

function startProcess(options: FleetOptions, onEnd: (lastWords: string) => void): ChildProcess {
  const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
  const config = fileURLToPath(new URL(options.config, import.meta.url));
  const loader = import.meta.resolve("tsx");
  const child = spawn(
    process.execPath,
    ["--import", loader, main, "worker", "--config", config, "--concurrency", String(concurrency)],
    {
      env: {
        ...process.env,
        NODE_ENV: "development",
        LOG_LEVEL: "error",
        DATABASE_URL: options.databaseUrl,
        REDIS_URL: options.redisUrl ?? "",
      },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let lastWords = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString("utf8")).slice(-1_000);
  });
  child.once("exit", (code, signal) => onEnd(lastWords.trim() || `code ${code ?? signal}`));
  return child;
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}
