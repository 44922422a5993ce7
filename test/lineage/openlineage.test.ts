/** Every OpenLineage event of a flights backfill, as a receiver gets it, against the public schemas. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd, tester } from "rederive/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Messenger } from "../../src/executor/messenger.ts";
import type { Term } from "../../src/executor/settle.ts";
import type { RunEvent } from "../../src/lineage/openlineage.ts";
import { runIdOf } from "../../src/lineage/openlineage.ts";
import { openLineageSettings } from "../../src/lineage/settings.ts";
import { eventSender } from "../../src/lineage/transport.ts";
import { takeLead } from "../../src/store/leaders.ts";
import type { Database } from "../../src/tx.ts";
import { messenger } from "../../src/usecases/messenger.ts";
import { eventually } from "../support/eventually.ts";
import { type FlightsStage, withFlights } from "./flights.ts";
import { eventFaults } from "./schemas.ts";

/** Takes events and answers as it is told to. */
class Receiver {
  readonly events: RunEvent[] = [];
  readonly keys: (string | undefined)[] = [];
  status = 201;
  url = "";
  #server: Server | undefined;

  async open(): Promise<void> {
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => {
        body += chunk.toString("utf8");
      });
      request.on("end", () => {
        this.keys.push(request.headers.authorization);
        if (this.status < 300) this.events.push(JSON.parse(body) as RunEvent);
        response.writeHead(this.status).end();
      });
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  clear(): void {
    this.events.length = 0;
    this.status = 201;
  }

  close(): Promise<void> {
    return new Promise((closed) => this.#server?.close(() => closed()));
  }
}

const receiver = new Receiver();
beforeAll(() => receiver.open());
afterAll(() => receiver.close());

interface Telling {
  readonly messenger: Messenger;
  readonly term: Term;
}

async function teller({ database, url, rederive }: FlightsStage, extra: Record<string, string> = {}): Promise<Telling> {
  const variables = {
    OPENLINEAGE_URL: receiver.url,
    OPENLINEAGE_API_KEY: "k",
    OPENLINEAGE_NAMESPACE: "flights",
    ...extra,
  };
  const made = messenger({
    ...{ database, databaseUrl: url, catalog: rederive.catalog, log: undefined, settings: rederive.settings },
    openLineage: openLineageSettings(variables),
  });
  receiver.clear();
  return { messenger: made, term: await leads(database) };
}

/** Beside the planner of the run, which would tell nothing here. */
async function leads(database: Database): Promise<Term> {
  const leadership = { name: "teller", holder: "test" };
  const term = await takeLead(database, { ...leadership, leaseMs: 600_000 });
  return { ...leadership, term: term ?? "" };
}

const typesOf = (job: string) =>
  receiver.events.filter((event) => event.job.name === job).map(({ eventType }) => eventType);

describe("OpenLineage events", () => {
  it("tell a whole backfill of the flights, valid by the public schemas, once", () =>
    withFlights(async (stage) => {
      const { messenger: told, term } = await teller(stage, { REDERIVE_OPENLINEAGE_SQL: "1" });
      const backfill = await stage.run({ promote: false });
      const counts = await told.runOnce(term);
      // Six datasets and the backfill itself, each with a beginning and an end.
      expect(counts).toEqual({ told: 14, delivered: 14 });
      expect(await told.runOnce(term)).toEqual({ told: 0, delivered: 0 });
      expect(receiver.events.flatMap((event) => eventFaults(event))).toEqual([]);
      expect(eventFaults({ ...receiver.events[0], run: { runId: "7" } })).not.toEqual([]);
      expect(new Set(receiver.keys)).toEqual(new Set(["Bearer k"]));
      for (const job of ["rederive.backfill", "flight_facts", "airport_day", "airport_ranking"]) {
        expect(typesOf(job)).toEqual(["START", "COMPLETE"]);
      }
      expect(receiver.events[0]?.job.name).toBe("rederive.backfill");
      expect(receiver.events.at(-1)?.job.name).toBe("rederive.backfill");
      const end = receiver.events.find((event) => event.job.name === "airport_day" && event.eventType === "COMPLETE");
      const parent = end?.run.facets["parent"] as { run: { runId: string } };
      expect(parent.run.runId).toBe(runIdOf(backfill.id, "", 1));
      const [output] = end?.outputs ?? [];
      const [live] = await stage.database.query<{ rows: number }>(
        "select sum(rows_written)::float8 as rows from rederive.stamp where dataset = 'airport_day'",
      );
      expect(output?.outputFacets?.["outputStatistics"]).toMatchObject({ rowCount: live?.rows });
      expect(end?.run.facets["nominalTime"]).toMatchObject({ nominalStartTime: "2001-01-03T00:00:00.000Z" });
      expect(end?.inputs.map(({ name }) => name.replace(/^[^.]*\./, ""))).toEqual(["public.flight_facts"]);
      const columns = output?.facets["columnLineage"] as {
        fields: Record<string, { inputFields: { field: string }[] }>;
      };
      expect(columns.fields["delay_minutes"]?.inputFields.map(({ field }) => field)).toEqual(["delay"]);
      const asserted = output?.facets["dataQualityAssertions"] as { assertions: { name: string; success: boolean }[] };
      expect(asserted.assertions).toContainEqual(
        expect.objectContaining({ name: "every flight is counted", success: true }),
      );
      expect(end?.job.facets["sql"]).toMatchObject({ dialect: "postgres" });
    }));

  it("fail with the reason, begin anew after it was dealt with, and end with a cancellation", () =>
    withFlights(async (stage) => {
      const { messenger: told, term } = await teller(stage);
      // An airport that nobody expects makes a check of the facts fail.
      await stage.database.query("update public.flight set delay = -9999 where id = 7");
      await stage.database.query("alter table public.flight_facts add constraint sane check (delay > -1000)");
      const backfill = await stage.rederive.as(tester).plan({ reason: "first" });
      expect((await runToEnd(stage.rederive, backfill, { workers: 4 })).state).toBe("held");
      await told.runOnce(term);
      expect(typesOf("flight_facts")).toEqual(["START", "FAIL"]);
      expect(typesOf("rederive.backfill")).toEqual(["START", "FAIL"]);
      const failure = receiver.events.find((event) => event.job.name === "flight_facts" && event.eventType === "FAIL");
      expect(failure?.run.facets["errorMessage"]).toMatchObject({ programmingLanguage: "SQL" });
      await backfill.cancel({ reason: "not today" });
      await told.runOnce(term);
      expect(receiver.events.flatMap((event) => eventFaults(event))).toEqual([]);
      // What had failed has ended; what was under way is given up.
      expect(typesOf("flight_facts")).toEqual(["START", "FAIL", "START", "ABORT"]);
    }));

  it("wait while the receiver is away, and arrive in order; a former leader says nothing", () =>
    withFlights(async (stage) => {
      const { messenger: told, term } = await teller(stage);
      await stage.run({ promote: false, datasets: ["flight_facts"], partitions: ["2001-01-05"] });
      receiver.status = 503;
      const { told: written } = await told.runOnce(term);
      expect(receiver.events).toEqual([]);
      expect(await told.runOnce(term)).toEqual({ told: 0, delivered: 0 });
      const [first] = await stage.database.query("select attempts, error from rederive.message order by id limit 1");
      expect(first).toEqual({ attempts: 1, error: "the OpenLineage endpoint answered 503" });
      receiver.status = 201;
      await stage.database.query("update rederive.message set next_at = clock_timestamp()");
      expect(await told.runOnce({ ...term, term: "0" })).toEqual({ told: 0, delivered: written });
      const heard = receiver.events.map(({ job, eventType }) => `${job.name} ${eventType}`);
      expect([heard[0], heard.at(-1)]).toEqual(["rederive.backfill START", "rederive.backfill COMPLETE"]);
      expect(heard.indexOf("flight_facts START")).toBeLessThan(heard.indexOf("flight_facts COMPLETE"));
      expect(heard).toHaveLength(new Set(heard).size);
      await stage.run({ promote: false, datasets: ["flight_facts"], partitions: ["2001-01-06"] });
      expect(await told.runOnce({ ...term, term: "0" })).toEqual({ told: 0, delivered: 0 });
    }));
});

describe("a planner", () => {
  it("tells of what happens while it leads", () =>
    withFlights(async (stage) => {
      receiver.clear();
      vi.stubEnv("OPENLINEAGE_URL", receiver.url);
      const planner = stage.rederive.startPlanner();
      try {
        await stage.run({ promote: false, datasets: ["flight_facts"], partitions: ["2001-01-05"] });
        const ended = (told: string) => told === "START COMPLETE";
        await eventually(() => typesOf("flight_facts").join(" "), ended, {
          what: "both events of the facts have arrived",
        });
        expect(receiver.events.flatMap((event) => eventFaults(event))).toEqual([]);
      } finally {
        vi.unstubAllEnvs();
        await planner.stop();
      }
    }));
});

describe("where events go", () => {
  const settingsOf = (variables: Record<string, string>) => openLineageSettings(variables)?.transport;

  it("is said by the standard variables", () => {
    const url = "https://lineage.example.org/";
    expect(openLineageSettings({})).toBeUndefined();
    expect(openLineageSettings({ OPENLINEAGE_URL: url, OPENLINEAGE_DISABLED: "True" })).toBeUndefined();
    expect(openLineageSettings({ OPENLINEAGE_URL: url })).toEqual({
      ...{ namespace: "default", sql: false },
      transport: {
        type: "http",
        url: "https://lineage.example.org/api/v1/lineage",
        apiKey: undefined,
        timeoutMs: 5_000,
      },
    });
    const own = { OPENLINEAGE_URL: url, OPENLINEAGE_ENDPOINT: "/in", OPENLINEAGE_API_KEY: "k" };
    expect(settingsOf(own)).toMatchObject({ url: "https://lineage.example.org/in", apiKey: "k" });
    const single = { OPENLINEAGE__TRANSPORT__TYPE: "file", OPENLINEAGE__TRANSPORT__LOG_FILE_PATH: "/tmp/e" };
    expect(settingsOf({ ...own, ...single })).toEqual({ type: "file", path: "/tmp/e", append: false });
    const whole = JSON.stringify({ type: "http", url, auth: { type: "api_key", apiKey: "j" }, timeout: 2 });
    expect(settingsOf({ OPENLINEAGE__TRANSPORT: whole })).toMatchObject({ apiKey: "j", timeoutMs: 2_000 });
    expect(settingsOf({ OPENLINEAGE__TRANSPORT__TYPE: "console" })).toEqual({ type: "console" });
  });

  it("is refused where it cannot work", () => {
    expect(() => settingsOf({ OPENLINEAGE__TRANSPORT__TYPE: "htp" })).toThrow('did you mean "http"');
    expect(() => settingsOf({ OPENLINEAGE_URL: "lineage.example.org" })).toThrow("needs a URL");
    expect(() => settingsOf({ OPENLINEAGE__TRANSPORT__TYPE: "file" })).toThrow("LOG_FILE_PATH");
    expect(() => settingsOf({ OPENLINEAGE__TRANSPORT: "{" })).toThrow("no JSON");
  });

  it("may be a file, to which they are added", async () => {
    const folder = await mkdtemp(join(tmpdir(), "rederive-events-"));
    const path = join(folder, "events.ndjson");
    const send = eventSender({ type: "file", path, append: true });
    await send('{"a":1}');
    await send('{"a":2}');
    expect(await readFile(path, "utf8")).toBe('{"a":1}\n{"a":2}\n');
    await rm(folder, { recursive: true });
  });
});
