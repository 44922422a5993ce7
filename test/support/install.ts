/** A Redis server for the tests where there is none: from Debian's packages, by whoever may install them. */
import { spawnSync } from "node:child_process";
import { findRedisServer } from "../../src/embedded/redis.ts";

/** The program, or undefined where it could not be had: not root, no apt-get, no network. */
export function installRedis(searchPath: string): string | undefined {
  if (process.getuid?.() !== 0 || !answers("apt-get", ["--version"])) return undefined;
  console.warn("there is no Redis: installing redis-server with apt-get, for the tests that need one");
  const install = ["install", "-y", "-qq", "--no-install-recommends", "redis-server"];
  // The package lists of a fresh machine are empty; those of another one may do.
  if (!answers("apt-get", install) && answers("apt-get", ["update", "-qq"])) answers("apt-get", install);
  return findRedisServer(searchPath);
}

/** The run level keeps the package from starting a service: the tests start a server of their own. */
function answers(program: string, args: readonly string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  return spawnSync(program, args, { env, stdio: "ignore" }).status === 0;
}
