/** How the data behind an exposure is, and who is told when that changes; addresses that are not called. */
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Term } from "../../src/executor/settle.ts";
import { mayCall } from "../../src/lineage/addresses.ts";
import { callWebhook } from "../../src/lineage/webhook.ts";
import type { ExposureStatus } from "../../src/report.ts";
import { takeLead } from "../../src/store/leaders.ts";
import { messenger } from "../../src/usecases/messenger.ts";
import { type FlightsStage, withFlights } from "./flights.ts";

interface Heard {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Answers every call with the same status, and keeps what it heard. */
async function withReceiver(
  status: number,
  callback: (url: string, heard: Heard[]) => Promise<void>,
  headers: Record<string, string> = {},
): Promise<void> {
  const heard: Heard[] = [];
  const server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString("utf8");
    });
    request.on("end", () => {
      heard.push({ headers: request.headers, body });
      response.writeHead(status, headers).end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    await callback(`http://127.0.0.1:${(server.address() as AddressInfo).port}/changed`, heard);
  } finally {
    await new Promise((closed) => server.close(closed));
  }
}

const secret = "a long random text";

async function listening({ database, url: databaseUrl, rederive }: FlightsStage, url: string) {
  const webhooks = [{ url, exposures: ["route-export"], allowLoopback: true }];
  const settings = { webhooks, webhookSecret: secret };
  const told = messenger({
    database,
    databaseUrl,
    catalog: rederive.catalog,
    settings,
    openLineage: undefined,
    log: undefined,
  });
  const leadership = { name: "teller", holder: "test" };
  const term: Term = { ...leadership, term: (await takeLead(database, { ...leadership, leaseMs: 600_000 })) ?? "" };
  return { round: () => told.runOnce(term) };
}

describe("the status of an exposure", () => {
  it("follows backfills and live checks, and is told signed, once for each change", () =>
    withFlights((stage) =>
      withReceiver(204, async (url, heard) => {
        const { round } = await listening(stage, url);
        const status = async (): Promise<ExposureStatus> => stage.rederive.as(tester).exposure("route-export");
        expect(await status()).toMatchObject({
          status: "unknown",
          asOf: null,
          reads: ["route_day"],
          owner: "punctuality",
        });
        // How it was found is no change.
        expect(await round()).toEqual({ told: 0, delivered: 0 });
        const backfill = await stage.run({ promote: false });
        expect(await status()).toMatchObject({ status: "recomputing", backfills: [backfill.id] });
        expect(await round()).toEqual({ told: 1, delivered: 1 });
        await backfill.promote({ reason: "checked" });
        const fresh = await status();
        expect(fresh).toMatchObject({ status: "fresh", backfills: [] });
        expect(Math.abs(Date.parse(fresh.asOf ?? "") - Date.now())).toBeLessThan(600_000);
        await round();
        const [first, second] = heard.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
        expect(first).toMatchObject({ exposure: "route-export", before: "unknown", status: "recomputing" });
        expect(second).toMatchObject({ event: "exposure.changed", before: "recomputing", status: "fresh" });
        const { headers, body = "" } = heard[0] ?? {};
        const [, seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers?.["rederive-signature"])) ?? [];
        expect(mac).toBe(createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex"));
        await stage.database.query(
          "insert into rederive.watch (dataset, started_at, finished_at, failing, checked) values ('flight_facts', now(), now(), 2, 30)",
        );
        expect(await status()).toMatchObject({ status: "diverged", diverged: ["flight_facts"] });
        // The schedule of that look is gone: whoever checks next says how it is.
        await stage.rederive.as(tester).check({ datasets: ["flight_facts"] });
        expect(await status()).toMatchObject({ status: "fresh", diverged: [] });
        await stage.database.query("update rederive.watch set failing = 2");
        await backfill.rollback({ reason: "back" });
        expect(await status()).toMatchObject({ status: "unknown", diverged: [] });
        await stage.database.query("update rederive.backfill set state = 'held' where id = $1", [backfill.id]);
        expect(await status()).toMatchObject({ status: "held" });
        const [row] = await stage.database.query(
          "select status from rederive.exposure_status where exposure = 'route-export'",
        );
        expect(row).toEqual({ status: "held" });
        await expect(stage.rederive.as(tester).exposure("route-exports")).rejects.toThrow(
          'did you mean "route-export"',
        );
      }),
    ));
});

describe("a webhook", () => {
  const call = { secret, id: "1", body: "{}", now: 0 };

  it("does not call private, link-local and reserved addresses, whatever they look like", () => {
    const inner =
      "10.0.0.1 172.16.3.4 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 fe80::1 fd00::1 :: ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: ::ffff:a00:1";
    for (const address of inner.split(" ")) expect([address, mayCall(address, true)]).toEqual([address, false]);
    for (const address of ["127.0.0.1", "::1", "127.8.9.1", "::ffff:127.0.0.1"]) {
      expect([address, mayCall(address, false), mayCall(address, true)]).toEqual([address, false, true]);
    }
    for (const address of ["8.8.8.8", "172.32.0.1", "2606:4700::1111"]) expect(mayCall(address, false)).toBe(true);
  });

  it("judges a name by the address that is connected to, not before", () =>
    withReceiver(200, async (url, heard) => {
      const named = url.replace("127.0.0.1", "localhost");
      await expect(callWebhook({ ...call, url: named, allowLoopback: false })).rejects.toMatchObject({
        code: "forbidden",
      });
      await expect(callWebhook({ ...call, url, allowLoopback: false })).rejects.toMatchObject({ code: "forbidden" });
      // 127.1 and 2130706433 are the same address in other clothes.
      for (const host of ["127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]"]) {
        const dressed = url.replace("127.0.0.1", host);
        await expect(callWebhook({ ...call, url: dressed, allowLoopback: false })).rejects.toMatchObject({
          code: "forbidden",
        });
      }
      expect(heard).toEqual([]);
      await callWebhook({ ...call, url, allowLoopback: true });
      expect(heard).toHaveLength(1);
    }));

  it("follows no redirect", () =>
    withReceiver(200, async (target, reached) => {
      await withReceiver(
        302,
        async (url) => {
          await expect(callWebhook({ ...call, url, allowLoopback: true })).rejects.toThrow("answered 302");
        },
        { location: target },
      );
      expect(reached).toEqual([]);
    }));
});
