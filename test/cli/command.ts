/** The command line as people have it: real processes, run on the shop of test/fixtures against a database of one's own. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { openDatabase } from "../../src/store/postgres.ts";
import { shopTables } from "../fixtures/shop/catalog.ts";
import { builtCommand } from "../support/built.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { redisUrlIfAny } from "../support/require.ts";

export const repository = fileURLToPath(new URL("../..", import.meta.url));
export const shop = fileURLToPath(new URL("../fixtures/shop", import.meta.url));

export type Variables = Readonly<Record<string, string | undefined>>;

export interface Answer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of stdout as JSON. */
  json<Value>(): Value;
  /** Every line of stdout as JSON. */
  events<Value>(): Value[];
}

export interface Running {
  readonly child: ChildProcess;
  /** Resolves with the match when stderr has it. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<Answer>;
}

export interface CommandOptions {
  readonly env?: Variables;
  readonly cwd?: string;
}

/** Starts `rederive` with these arguments. Variables of the test run that would decide something are left out. */
export function startCommand(args: readonly string[], { env = {}, cwd = shop }: CommandOptions = {}): Running {
  const [program, main] = builtCommand;
  const child = spawn(program, [main, ...args], {
    cwd,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], NODE_ENV: "development", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const listeners = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString("utf8");
    for (const listener of listeners) listener();
  });
  const ended = new Promise<Answer>((resolve) => {
    child.once("close", (code) => resolve(answerOf(code, stdout, stderr)));
  });
  const says = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(stderr);
        if (match) resolve(match);
      };
      listeners.add(look);
      look();
      void ended.then(() => reject(new Error(`ended before it said ${pattern}: ${stderr}`)));
    });
  return { child, says, ended };
}

export async function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<Answer> {
  return startCommand(args, options).ended;
}

function answerOf(code: number | null, stdout: string, stderr: string): Answer {
  const lines = stdout.trim().split("\n");
  return {
    code,
    stdout,
    stderr,
    json: () => JSON.parse(lines.at(-1) ?? "") as never,
    events: () => lines.map((line) => JSON.parse(line) as never),
  };
}

/** One shop: its database, its queues, and the commands on them. */
export interface Shop {
  readonly url: string;
  readonly env: Variables;
  run(args: readonly string[], env?: Variables): Promise<Answer>;
  start(args: readonly string[], env?: Variables): Running;
  query<Row>(text: string): Promise<Row[]>;
  close(): Promise<void>;
}

export async function openShop(): Promise<Shop> {
  const { url, drop } = await createTestDatabase();
  const database = openDatabase(url, { max: 1 });
  for (const statement of shopTables) await database.query(statement);
  const env = {
    DATABASE_URL: url,
    REDIS_URL: redisUrlIfAny(),
    SHOP_PREFIX: `{cli${randomBytes(4).toString("hex")}}`,
    REDERIVE_ACTOR: "ada",
  };
  const started: Running[] = [];
  const start = (args: readonly string[], more: Variables = {}): Running => {
    const running = startCommand(args, { env: { ...env, ...more } });
    started.push(running);
    return running;
  };
  return {
    url,
    env,
    start,
    run: (args, more) => start(args, more).ended,
    query: (text) => database.query(text),
    close: async () => {
      for (const { child } of started) if (child.exitCode === null) child.kill("SIGKILL");
      await Promise.all(started.map((running) => running.ended));
      await database.close();
      await drop();
    },
  };
}

export async function withShop(callback: (shop: Shop) => Promise<void>): Promise<void> {
  const opened = await openShop();
  try {
    await callback(opened);
  } finally {
    await opened.close();
  }
}
