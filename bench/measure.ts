/**
 * How the bench measures: contenders take turns, so that a disturbance of the machine meets all of them, and each
 * is judged by the median of its rounds. What other processes used of the CPU meanwhile is part of the result.
 */
import { readdirSync, readFileSync } from "node:fs";

export interface Contender {
  readonly name: string;
  /** Not timed: empties targets and settles what the last round left behind. */
  readonly prepare: () => Promise<void>;
  /** Timed. */
  readonly run: () => Promise<void>;
}

export interface Timing {
  readonly name: string;
  readonly medianMs: number;
  readonly roundsMs: readonly number[];
  /** Milliseconds of CPU that the bench and its servers used in a round: what a busy machine does not distort. */
  readonly medianCpuMs: number;
}

/** Runs every contender once per round, in turn; a first round that is thrown away warms caches and plans. */
export async function interleave(
  contenders: readonly Contender[],
  rounds: number,
  pids: readonly number[],
): Promise<Timing[]> {
  const timings = contenders.map(({ name }) => ({ name, roundsMs: [] as number[], roundsCpuMs: [] as number[] }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [index, { prepare, run }] of contenders.entries()) {
      await prepare();
      const before = readCpu(pids);
      await run();
      const after = readCpu(pids);
      if (round === 0) continue;
      timings[index]?.roundsMs.push(after.atMs - before.atMs);
      timings[index]?.roundsCpuMs.push((after.ownSeconds - before.ownSeconds) * 1_000);
    }
  }
  return timings.map(({ name, roundsMs, roundsCpuMs }) => ({
    name,
    roundsMs,
    medianMs: median(roundsMs),
    medianCpuMs: median(roundsCpuMs),
  }));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** CPU seconds since boot: of the whole machine, and of the processes that belong to the bench. */
export interface CpuReading {
  readonly atMs: number;
  readonly busySeconds: number;
  readonly ownSeconds: number;
}

/** Ticks of /proc per second; the kernel's USER_HZ, 100 on every platform that Node supports. */
const ticksPerSecond = 100;

/** Reads the gauges; `roots` are processes whose descendants count as ours too, such as the postmaster. */
export function readCpu(roots: readonly number[]): CpuReading {
  // cpu  user nice system idle iowait irq softirq steal …: everything but idle and waiting.
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync("/proc/stat", "utf8")
    .slice("cpu".length, 200)
    .trim()
    .split(/\s+/)
    .map(Number);
  return {
    atMs: performance.now(),
    busySeconds: (user + nice + system + irq + softirq) / ticksPerSecond,
    ownSeconds: treeSeconds([process.pid, ...roots]),
  };
}

/** Mean number of cores that processes outside the bench kept busy between two readings. */
export function othersCores(before: CpuReading, after: CpuReading): number {
  const seconds = (after.atMs - before.atMs) / 1000;
  const others = after.busySeconds - before.busySeconds - (after.ownSeconds - before.ownSeconds);
  return Math.max(0, others / seconds);
}

function treeSeconds(roots: readonly number[]): number {
  const processes = new Map<number, { parent: number; seconds: number }>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readStat(entry);
    if (stat) processes.set(Number(entry), stat);
  }
  const wanted = new Set(roots);
  // A parent may be listed after its child, so repeat until nothing is added; trees here are two levels deep.
  for (let size = -1; size !== wanted.size; ) {
    size = wanted.size;
    for (const [pid, { parent }] of processes) if (wanted.has(parent)) wanted.add(pid);
  }
  return [...wanted].reduce((sum, pid) => sum + (processes.get(pid)?.seconds ?? 0), 0);
}

function readStat(pid: string): { parent: number; seconds: number } | undefined {
  try {
    // The name, in parentheses, may hold anything; the fields follow the last one.
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    // utime, stime and, of children that have ended, cutime and cstime.
    const ticks = (fields[11] ?? 0) + (fields[12] ?? 0) + (fields[13] ?? 0) + (fields[14] ?? 0);
    return { parent: fields[1] ?? 0, seconds: ticks / ticksPerSecond };
  } catch {
    return undefined; // ended since it was listed
  }
}
