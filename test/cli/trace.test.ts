import { expect, it } from "vitest";
import { withShop } from "./command.ts";

it("one trace leads from the run to the SQL statements of a task", { timeout: 120_000 }, async () => {
  await withShop(async (shop) => {
    const env = { OTEL_TRACES_EXPORTER: "console", OTEL_METRICS_EXPORTER: "none" };
    const run = await shop.run(["run", "--reason", "traced", "--workers", "2"], env);
    expect(run.code).toBe(0);
    const [row] = await shop.query<{ trace: string }>(
      "select split_part(traceparent, '-', 2) as trace from rederive.backfill",
    );
    const spans = run.stdout.split(/\n(?=\{\n)/).filter((text) => text.includes(`traceId: '${row?.trace}'`));
    const named = (name: string) => spans.filter((text) => text.includes(`name: '${name}'`));
    expect(named("rederive plan")).toHaveLength(1);
    const tasks = await shop.query<{ id: string }>("select id from rederive.task");
    // Short tasks share a span as they share a transaction; each of them is named in one.
    const traced = named("task").join("\n");
    expect(tasks.filter(({ id }) => !traced.includes(`'${id}'`))).toEqual([]);
    expect(tasks).toHaveLength(42);
    // The computing statements and the final ones of each task, without any value in their text.
    expect(
      spans.some((text) => /db\.query\.text': .*insert into/is.test(text) && text.includes("rederive_candidate")),
    ).toBe(true);
    expect(spans.some((text) => text.includes("EUR"))).toBe(false);
  });
});
