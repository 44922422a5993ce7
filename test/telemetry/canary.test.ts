/**
 * Secrets and rows stay where they belong: a real run over HTTP with a canary in the passwords of both servers, in headers, in the
 * secret with which a login fails, in a row and in the error that this row causes, and then a search through everything that
 * leaves the process or lies in Redis.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { context, metrics as metricsApi, propagation, trace } from "@opentelemetry/api";
import { Redis } from "ioredis";
import { createRederive } from "rederive";
import { runToEnd } from "rederive/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { startServer } from "../../src/server/index.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { startTelemetry, type Telemetry } from "../../src/telemetry/sdk.ts";
import { aCanary } from "../server/support.ts";
import { logIn, Visitor } from "../server/visitor.ts";
import { audience, loginClient, startIssuer } from "../support/issuer.ts";
import { withOwnRedis } from "../support/redis.ts";
import { lacks } from "../support/require.ts";
import { shop, withShop } from "../usecases/shop.ts";
import { rememberSpans, type SpanMemory } from "./memory.ts";

let memory: SpanMemory | undefined;
let telemetry: Telemetry | undefined;

afterEach(async () => {
  await telemetry?.shutdown();
  await memory?.stop();
  vi.unstubAllEnvs();
  for (const api of [trace, metricsApi, context, propagation]) api.disable();
});

describe.skipIf(lacks("own-redis"))("a canary", () => {
  it("has no hits in logs, traces, metrics, Redis, audit, answers", { timeout: 120_000 }, async () => {
    const canary = { database: aCanary(), redis: aCanary(), header: aCanary(), row: aCanary(), client: aCanary() };
    vi.stubEnv("REDERIVE_OIDC_CLIENT_SECRET", canary.client);
    const issuer = await startIssuer({ ada: {} }, { redirectUris: ["http://127.0.0.1/login/callback"] });
    memory = rememberSpans();
    telemetry = await startTelemetry({ serviceName: "rederive", role: "web", variables: {} });
    const lines: string[] = [];
    const log = createLog({ name: "all", level: "trace", destination: { write: (line) => lines.push(line) } });
    await withShop(async (stage) => {
      const { url, database } = stage;
      await withOwnRedis(async ({ url: redisUrl, prefix }) => {
        const admin = new Redis(redisUrl);
        admin.on("error", () => {});
        await admin.config("SET", "rdbcompression", "no");
        await admin.config("SET", "requirepass", canary.redis);
        const role = `rederive_${randomBytes(4).toString("hex")}`;
        await database.query(`create role ${role} superuser login password '${canary.database}'`);
        await database.query("update orders set currency = $1::text where id = 1", [canary.row]);
        const rederive = await createRederive(
          {
            // The number of every currency that is none: its error quotes the row.
            catalog: shop({ amount: "case when currency in ('EUR', 'USD') then amount else currency::numeric end" }),
            databaseUrl: withPassword(url, canary.database, role),
            redisUrl: withPassword(redisUrl, canary.redis),
            ...{ prefix, environment: "test", leaseMs: 5_000 },
            server: {
              oidc: { issuer: issuer.url, audience, mapping: {}, login: { clientId: loginClient.clientId } },
            },
          },
          { log },
        );
        const server = await startServer(rederive, { port: 0, log, metrics: telemetry?.prometheus });
        const answers: string[] = [];
        const ask = async (path: string, init: RequestInit = {}) => {
          const response = await fetch(`${server.url}${path}`, init);
          answers.push(await response.text(), JSON.stringify([...response.headers]));
        };
        try {
          const acting = rederive.as({ name: "root", role: "admin" });
          const { token } = await acting.createToken({ name: "ada", role: "operator" });
          const cookie = `session=${canary.header}`;
          await ask("/api/v1/limits", { headers: { authorization: `Bearer ${canary.header}`, cookie } });
          const authorization = `Bearer ${token}`;
          const backfill = await acting.plan({ datasets: ["facts"], reason: "numbers" });
          expect((await runToEnd(rederive, backfill)).state).toBe("held");
          for (const path of ["", "/plan", "/approvals"]) {
            await ask(`/api/v1/backfills/${backfill.id}${path}`, { headers: { authorization, cookie } });
          }
          // The issuer knows the client by another secret.
          const login = await logIn(new Visitor(), server.url, "ada");
          expect([login.status, login.body]).toEqual([500, expect.stringContaining("configuration")]);
          answers.push(login.body);
          await ask("/metrics");
          await ask("/queues/api/queues?activeQueue=backfill&page=1&jobsPerPage=50", { headers: { authorization } });
          await admin.save();
          const [, directory = ""] = (await admin.config("GET", "dir")) as string[];
          const audit = await database.query<{ text: string }>("select audit::text as text from rederive.audit");
          const places = {
            logs: lines.join(""),
            traces: JSON.stringify(
              memory?.spans().map(({ name, attributes, events, status }) => [name, attributes, events, status]),
            ),
            metrics: (await telemetry?.prometheus?.()) ?? "",
            redis: await readFile(join(directory, "dump.rdb"), "latin1"),
            audit: JSON.stringify(audit),
            answers: answers.join("\n"),
          };
          // Each place was really looked at.
          expect(places.logs).toContain(backfill.id);
          expect(places.traces).toContain(backfill.id);
          expect(places.metrics).toContain("rederive_tasks");
          expect(places.redis).toContain(backfill.id);
          expect(places.audit).toContain(backfill.id);
          expect(places.answers).toContain("facts");
          for (const [place, text] of Object.entries(places)) {
            for (const [what, secret] of Object.entries({ ...canary, token: token.slice(14) })) {
              const at = text.indexOf(secret);
              expect([place, what, at < 0 ? "" : text.slice(Math.max(0, at - 200), at + 40)]).toEqual([
                place,
                what,
                "",
              ]);
            }
          }
        } finally {
          await server.close();
          await rederive.close();
          await issuer.close();
          admin.disconnect();
          await database.query(`reassign owned by ${role} to current_user`);
          await database.query(`drop role ${role}`);
        }
      });
    });
  });
});

function withPassword(url: string, password: string, user?: string): string {
  const changed = new URL(url);
  changed.password = password;
  if (user !== undefined) changed.username = user;
  return changed.toString();
}
