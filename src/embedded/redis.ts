/** A private Redis for development, the demo and tests, where a server binary is on the PATH. */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { RederiveError } from "../errors.ts";
import { freePort } from "./postgres.ts";

export interface EmbeddedRedis {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** The first Redis-compatible server on the given search path, or undefined. */
export function findRedisServer(searchPath: string): string | undefined {
  for (const name of ["redis-server", "valkey-server"]) {
    for (const directory of searchPath.split(delimiter)) {
      const candidate = join(directory, name);
      try {
        accessSync(candidate, constants.X_OK);
        return candidate;
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

/** Starts a server on a free loopback port: nothing is written to disk, and nothing is ever evicted. */
export async function startEmbeddedRedis(program: string): Promise<EmbeddedRedis> {
  const port = await freePort();
  const directory = mkdtempSync(join(tmpdir(), "rederive-redis-"));
  const child = spawn(
    program,
    [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--dir",
      directory,
      "--save",
      "",
      "--appendonly",
      "no",
      "--maxmemory-policy",
      "noeviction",
    ],
    // Its own group: Ctrl-C in a terminal must reach us alone, so that we stop the server in order.
    { detached: true, stdio: ["ignore", "pipe", "ignore"] },
  );
  await untilReady(child);
  child.unref();
  (child.stdout as unknown as { unref?: () => void } | null)?.unref?.();
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.ref();
        const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
        child.kill("SIGTERM");
        await ended;
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function untilReady(child: ChildProcess): Promise<void> {
  let log = "";
  await new Promise<void>((ready, fail) => {
    child.once("error", (error) =>
      fail(new RederiveError("unavailable", `cannot start Redis: ${error.message}`, { cause: error })),
    );
    child.once("exit", (code) =>
      fail(new RederiveError("unavailable", `Redis ended with code ${code}: ${log.trim().slice(-500)}`)),
    );
    child.stdout?.on("data", (chunk: Buffer) => {
      log = (log + chunk.toString("utf8")).slice(-4000);
      if (log.includes("Ready to accept connections")) ready();
    });
  });
  child.removeAllListeners("exit");
}
