/**
 * Processes of a fleet, as a process manager runs them: `rederive worker` and `rederive planner`, each one replaced when
 * it dies. Everything that a test kills or freezes is a child of this process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Tx } from "../../src/tx.ts";
import { builtCommand } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";

export interface FleetOptions {
  readonly config: string;
  /** Default: the command line of this repository. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Member {
  readonly role: string;
  readonly child: ChildProcess;
  /** The last words on its log, for messages. */
  readonly log: () => string;
}

export class Fleet {
  readonly members = new Set<Member>();
  readonly #options: FleetOptions;
  #stopping = false;
  /** Processes that ended without being asked to, with a code instead of a signal: a bug, unless a test says else. */
  readonly crashes: string[] = [];

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** `keep`: replaced when it dies, as a process manager does. */
  start(role: "worker" | "planner", options: { concurrency?: number; config?: string; keep?: boolean } = {}): Member {
    const [program, ...words] = [
      ...(this.#options.command ?? builtCommand),
      role,
      "--config",
      options.config ?? this.#options.config,
    ];
    if (role === "worker") words.push("--concurrency", String(options.concurrency ?? 2));
    const child = spawn(program as string, words, {
      env: { ...process.env, LOG_LEVEL: "warn", ...this.#options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let log = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        log = (log + chunk.toString("utf8")).slice(-4_000);
      });
    }
    const member: Member = { role, child, log: () => log };
    this.members.add(member);
    child.once("exit", (code, signal) => {
      this.members.delete(member);
      if (this.#stopping) return;
      if (signal === null && code !== 0) this.crashes.push(`${role} ended with code ${code}: ${log.slice(-1_000)}`);
      else if (options.keep !== false) this.start(role, options);
    });
    return member;
  }

  startMany(
    role: "worker" | "planner",
    count: number,
    options: { concurrency?: number; keep?: boolean } = {},
  ): Member[] {
    return Array.from({ length: count }, () => this.start(role, options));
  }

  ofPid(pid: number): Member | undefined {
    return [...this.members].find((member) => member.child.pid === pid);
  }

  /** Ends all of them at once; what they leave behind is for invariants to look at. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.members].map((member) => end(member, signal)));
  }
}

/** Sends a signal and waits for the end; a process that does not go within half a minute is killed. */
export async function end(member: Member, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  const { child } = member;
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  // One that was frozen would never see a SIGTERM.
  if (signal === "SIGTERM") child.kill("SIGCONT");
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  await ended;
  clearTimeout(timer);
}

/** A worker that holds a task, as Postgres sees it. */
export interface Holder {
  readonly task: string;
  readonly dataset: string;
  readonly epoch: number;
  readonly backendPid: number;
  readonly workerPid: number;
}

const holderColumns = `t.id::text as task, t.dataset, t.epoch, t.backend_pid as "backendPid", w.pid as "workerPid"`;

/** Those who hold a task right now. */
export function holders(tx: Tx): Promise<Holder[]> {
  return tx.query<Holder>(
    `select ${holderColumns} from rederive.task t join rederive.worker w on w.id = t.worker
     where t.state = 'running' order by t.claimed_at desc`,
  );
}

/** Those whose COPY into a candidate has written rows and goes on. */
export function copiers(tx: Tx): Promise<Holder[]> {
  return tx.query<Holder>(
    `select ${holderColumns} from rederive.task t join rederive.worker w on w.id = t.worker
     join pg_stat_progress_copy p on p.pid = t.backend_pid and p.command = 'COPY FROM' and p.tuples_processed > 0
     where t.state = 'running'`,
  );
}

/** Kills a worker that holds a task, and gives what it held. */
export async function killHolder(tx: Tx, fleet: Fleet): Promise<Holder> {
  const held = await eventually(
    () => holders(tx),
    (all) => all.some((holder) => fleet.ofPid(holder.workerPid) !== undefined),
    { everyMs: 5, what: "a worker that holds a task" },
  );
  for (const holder of held) {
    const member = fleet.ofPid(holder.workerPid);
    if (member === undefined) continue;
    await end(member, "SIGKILL");
    return holder;
  }
  throw new Error("unreachable: a holder was found");
}

/** Stops a worker inside a COPY; where the COPY was over before the signal came, it goes on and the next one is tried. */
export async function freezeCopier(tx: Tx, fleet: Fleet): Promise<Holder & { readonly member: Member }> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const [holder] = await eventually(
      () => copiers(tx),
      (all) => all.some(({ workerPid }) => fleet.ofPid(workerPid) !== undefined),
      { everyMs: 3, withinMs: 120_000, what: "a worker inside a COPY" },
    );
    const member = holder === undefined ? undefined : fleet.ofPid(holder.workerPid);
    if (holder === undefined || member === undefined) continue;
    member.child.kill("SIGSTOP");
    // What it had sent before the signal is taken by then: from now on only its own words could end the COPY.
    const still = await copiers(tx);
    if (still.some(({ task, epoch }) => task === holder.task && epoch === holder.epoch)) return { ...holder, member };
    member.child.kill("SIGCONT");
  }
  throw new Error("no worker could be stopped inside a COPY");
}

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
