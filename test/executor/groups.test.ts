import { describe, expect, it } from "vitest";
import { Groups } from "../../src/executor/groups.ts";

const job = (task: number, dataset = "days", backfill = "bf_a") => ({ ref: { task: String(task), dataset, backfill } });

function filled(groups: Groups<ReturnType<typeof job>>, count: number): void {
  for (let task = 0; task < count; task += 1) groups.add(job(task));
}

const tasksOf = (jobs: readonly ReturnType<typeof job>[]) => jobs.map(({ ref }) => Number(ref.task));

describe("groups of waiting tasks", () => {
  it("are single tasks while nothing is known of a dataset", () => {
    const groups = new Groups(2, () => true);
    filled(groups, 5);
    expect([tasksOf(groups.take()), tasksOf(groups.take()), groups.waiting]).toEqual([[0], [1], 3]);
  });

  it.each([
    { taskMs: 1, size: 32 },
    { taskMs: 20, size: 10 },
    { taskMs: 150, size: 1 },
    { taskMs: 5_000, size: 1 },
  ])("take $size tasks of $taskMs ms", ({ taskMs, size }) => {
    const groups = new Groups(1, () => true);
    groups.learn("days", taskMs * 4, 4);
    filled(groups, 100);
    expect(tasksOf(groups.take())).toEqual(Array.from({ length: size }, (_, task) => task));
    expect(groups.width).toBe(size);
  });

  it("follow tasks that become longer", () => {
    const groups = new Groups(1, () => true);
    groups.learn("days", 1, 1);
    const widths = Array.from({ length: 8 }, () => {
      groups.learn("days", 400, 1);
      return groups.width;
    });
    expect(widths).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    for (let round = 0; round < 12; round += 1) groups.learn("days", 2, 1);
    expect(groups.width).toBeGreaterThan(8);
  });

  it("hold neighbours alone: one dataset of one backfill", () => {
    const groups = new Groups(1, () => true);
    groups.learn("days", 1, 1);
    for (const each of [job(1), job(2, "months"), job(3, "days", "bf_b"), job(4)]) groups.add(each);
    expect([1, 2, 3].map(() => tasksOf(groups.take()))).toEqual([[1, 4], [2], [3]]);
    expect(groups.take()).toEqual([]);
  });

  it("never hold two tasks of a dataset that cannot share a transaction", () => {
    const groups = new Groups(1, (dataset) => dataset !== "days");
    groups.learn("days", 1, 1);
    filled(groups, 3);
    expect(tasksOf(groups.take())).toEqual([0]);
  });

  it("get smaller towards the end, so that four lanes end together", () => {
    const groups = new Groups(4, () => true);
    groups.learn("days", 1, 1);
    filled(groups, 40);
    const sizes: number[] = [];
    while (groups.waiting > 0) sizes.push(groups.take().length);
    expect(sizes.slice(0, 4)).toEqual([10, 8, 6, 4]);
    expect(sizes.slice(-4)).toEqual([1, 1, 1, 1]);
  });
});
