/** Security over HTTP on a real instance: approvals, hostile names and conditions, and plans that are too large. */
import type { Config } from "rederive";
import { runToEnd } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Rederive } from "../../src/rederive.ts";
import { startServer } from "../../src/server/index.ts";
import { routes } from "../../src/server/routes.ts";
import type { Database } from "../../src/tx.ts";
import { shop, withShop } from "../usecases/shop.ts";
import { requestOf } from "./requests.ts";
import { silentLog } from "./support.ts";

interface Scene {
  readonly database: Database;
  readonly rederive: Rederive;
  readonly tokens: Readonly<Record<string, string>>;
  readonly url: string;
  readonly send: (
    who: string,
    method: string,
    path: string,
    body?: unknown,
  ) => Promise<{ status: number; answer: Answer }>;
}

interface Answer {
  readonly code?: string;
  readonly backfill?: string;
  readonly plan?: { readonly hash: string };
  readonly digest?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

const people = [
  { name: "ada", role: "operator" },
  { name: "ada laptop", role: "admin", person: "ada" },
  { name: "grace", role: "approver" },
  { name: "root", role: "admin" },
] as const;

async function scene(more: Partial<Config>, play: (scene: Scene) => Promise<void>): Promise<void> {
  await withShop(async (stage) => {
    const { database } = stage;
    const rederive = await stage.open(shop(), more);
    const server = await startServer(rederive, { port: 0, log: silentLog });
    try {
      const acting = rederive.as({ name: "first", role: "admin" });
      const tokens: Record<string, string> = {};
      for (const wish of people) tokens[wish.name] = (await acting.createToken(wish)).token;
      const send: Scene["send"] = async (who, method, path, body) => {
        const response = await fetch(`${server.url}/api/v1${path}`, {
          method,
          headers: { authorization: `Bearer ${tokens[who]}`, "content-type": "application/json" },
          ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        });
        return { status: response.status, answer: (await response.json()) as Answer };
      };
      await play({ database, rederive, tokens, url: server.url, send });
    } finally {
      await server.close();
    }
  });
}

const both = { governance: { startApprovals: 1, promotionApprovals: 1 } };
const wish = { datasets: ["facts"], reason: "refunds were ignored" };

describe("approvals over HTTP", () => {
  it("are 403 self_approval by the one who asked, with whatever token", async () => {
    await scene(both, async ({ send }) => {
      const { answer: made } = await send("ada laptop", "POST", "/backfills", wish);
      for (const who of ["ada laptop", "ada"]) {
        const refused = await send(who, "POST", `/backfills/${made.backfill}/approvals`, {});
        expect([refused.status, refused.answer.code]).toEqual([403, who === "ada" ? "forbidden" : "self_approval"]);
      }
      expect((await send("grace", "POST", `/backfills/${made.backfill}/approvals`, {})).status).toBe(200);
    });
  });

  it("are 409 where they are missing, expired, for another plan or for other columns, and nothing runs", async () => {
    await scene(both, async ({ send, database }) => {
      const plan = async () => (await send("ada", "POST", "/backfills", wish)).answer.backfill as string;
      const approve = (id: string) => send("grace", "POST", `/backfills/${id}/approvals`, {});
      const start = async (id: string) => {
        const { status, answer } = await send("ada", "POST", `/backfills/${id}/start`, {});
        return [status, answer.code, answer.details?.["because"]];
      };
      const first = await plan();
      expect(await start(first)).toEqual([409, "approval_required", undefined]);
      await approve(first);
      const second = await plan();
      expect(await start(second)).toEqual([409, "approval_required", undefined]);
      await approve(second);
      await database.query("alter table public.orders add column note text");
      expect(await start(second)).toEqual([409, "approval_void", "schema_changed"]);
      await database.query("alter table rederive.approval disable trigger approval_guard");
      await database.query("update rederive.approval set expires_at = now()");
      expect(await start(second)).toEqual([409, "approval_void", "expired"]);
      const [row] = await database.query<{ ran: number }>(
        "select count(*)::int4 as ran from rederive.backfill where started_at is not null",
      );
      expect(row?.ran).toBe(0);
    });
  });

  it("are consumed: what was started or promoted is not started or promoted again", async () => {
    await scene(both, async ({ send, rederive }) => {
      const id = (await send("ada", "POST", "/backfills", wish)).answer.backfill as string;
      await send("grace", "POST", `/backfills/${id}/approvals`, {});
      expect((await send("ada", "POST", `/backfills/${id}/start`, {})).status).toBe(200);
      expect(await send("ada", "POST", `/backfills/${id}/start`, {})).toMatchObject({
        ...{ status: 409, answer: { code: "wrong_state" } },
      });
      const backfill = await rederive.as({ name: "ada", role: "operator" }).backfill(id);
      expect((await runToEnd(rederive, backfill, { workers: 2 })).state).toBe("verified");
      const { digest } = (await send("ada", "GET", `/backfills/${id}/diff`)).answer;
      await send("grace", "POST", `/backfills/${id}/approvals`, { act: "promote", digest });
      const twice = await Promise.all(
        [1, 2].map(() => send("ada", "POST", `/backfills/${id}/promote`, { reason: "go" })),
      );
      expect(twice.map(({ status }) => status).sort((one, other) => one - other)).toEqual([200, 409]);
    });
  });
});

const names = [
  'a"; drop table x;--',
  "pg_catalog.pg_class",
  "public.facts",
  "f".repeat(64),
  "facts\u0000",
  "f\u0430cts", // a Cyrillic a
  "facts ",
  "Facts",
  "$1",
  "rederive.api_token",
];

describe("hostile names", () => {
  it("are 400 or 404 wherever a route takes one, and change nothing", async () => {
    await scene({}, async ({ send, database }) => {
      const before = await tables(database);
      const withNames = routes.filter(({ at }) => /:(name|dataset|id)/.test(at));
      for (const name of names) {
        const hostile = encodeURIComponent(name);
        for (const route of withNames) {
          const { body } = requestOf(route);
          const path = route.at.replace(/:(name|dataset|id)/g, hostile);
          const query = route.operation === "getImpact" ? `?dataset=${hostile}` : "";
          const { status } = await send("root", route.method.toUpperCase(), `${path}${query}`, body);
          expect([route.operation, name, status]).toEqual([route.operation, name, status === 400 ? 400 : 404]);
        }
        const bodies: [string, unknown][] = [
          ["/plans", { datasets: [name], reason: "x" }],
          ["/backfills", { datasets: [name], reason: "x" }],
          ["/check", { datasets: [name] }],
          ["/baselines", { name: "b", dataset: name, reason: "x" }],
        ];
        for (const [path, body] of bodies) {
          const { status } = await send("root", "POST", path, body);
          expect([path, name, status]).toEqual([path, name, status === 400 ? 400 : 404]);
        }
      }
      expect(await tables(database)).toEqual(before);
    });
  });
});

const conditions = [
  "true); drop table orders; --",
  "exists (select from rederive.api_token where role = 'admin')",
  "pg_read_file('/etc/passwd') is null",
  "(select pg_sleep(60)) is null",
  "dblink('host=evil', 'select 1') is null",
  "amount > 0; set role postgres",
  "lo_import('/etc/passwd') > 0",
  "query_to_xml('select 1', true, true, '') is null",
];

it("SQL that comes with a request is refused before anything is stored", async () => {
  await scene({}, async ({ send, database }) => {
    for (const where of conditions) {
      const refused = await send("ada", "POST", "/backfills", { ...wish, expect: { where } });
      expect([where, refused.status, refused.answer.code]).toEqual([where, 400, "usage"]);
    }
    expect(await database.query("select id from rederive.backfill")).toEqual([]);
  });
});

it("bodies that are no JSON, too large, too deep or with a field too many change no row", async () => {
  await scene(both, async ({ send, database, url, tokens }) => {
    const id = (await send("ada", "POST", "/backfills", wish)).answer.backfill as string;
    const rows = () =>
      database.query(`select b::text, (select count(*) from rederive.approval) as said from rederive.backfill b`);
    const before = await rows();
    const path = `/backfills/${id}/approvals`;
    const faults: [body: string, status: number, code: string][] = [
      [JSON.stringify({ comment: "x".repeat(256 * 1024) }), 413, "payload_too_large"],
      [`{"comment":${"[".repeat(32)}${"]".repeat(32)}}`, 400, "usage"],
      ['{"__proto__":{"role":"admin"}}', 400, "unknown_field"],
      ...["status", "approved_by", "role", "colour"].map((field): [string, number, string] => [
        `{"${field}":"approved"}`,
        400,
        "unknown_field",
      ]),
    ];
    for (const [body, status, code] of faults) {
      const refused = await send("grace", "POST", path, body);
      expect([body.slice(0, 40), refused.status, refused.answer.code]).toEqual([body.slice(0, 40), status, code]);
    }
    const form = await fetch(`${url}/api/v1${path}`, {
      ...{ method: "POST", body: "act=start" },
      headers: { authorization: `Bearer ${tokens["grace"]}`, "content-type": "application/x-www-form-urlencoded" },
    });
    expect([form.status, ((await form.json()) as Answer).code]).toEqual([415, "unsupported_media_type"]);
    expect(await rows()).toEqual(before);
  });
});

it("a plan with too many tasks is 422 plan_too_large before anything is stored", async () => {
  await scene({ maxTasks: 5 }, async ({ send, database }) => {
    const refused = await send("ada", "POST", "/backfills", wish);
    expect([refused.status, refused.answer.code]).toEqual([422, "plan_too_large"]);
    expect(await database.query("select id from rederive.backfill")).toEqual([]);
    expect((await send("ada", "GET", "/backfills?limit=201")).status).toBe(400);
  });
});

it("functions and operators planted in public are not called", async () => {
  await scene({}, async ({ send, rederive, database }) => {
    for (const [name, parameters, result] of planted) {
      await database.query(
        `create function public.${name}(${parameters}) returns ${result} language plpgsql as
           $$ begin raise exception 'planted % was called', '${name}'; end $$`,
      );
    }
    await database.query("create operator public.= (leftarg = text, rightarg = text, function = public.texteq)");
    const id = (await send("ada", "POST", "/backfills", { datasets: ["facts"], reason: "x" })).answer
      .backfill as string;
    const backfill = await rederive.as({ name: "ada", role: "operator" }).backfill(id);
    expect(await runToEnd(rederive, backfill, { workers: 2 })).toMatchObject({ state: "verified", troubles: [] });
    expect((await send("ada", "POST", `/backfills/${id}/promote`, { reason: "go" })).status).toBe(200);
    expect((await send("ada", "POST", `/backfills/${id}/rollback`, { reason: "back" })).status).toBe(200);
  });
});

const planted = [
  ["lower", "text", "text"],
  ["now", "", "timestamptz"],
  ["clock_timestamp", "", "timestamptz"],
  ["to_char", "timestamptz, text", "text"],
  ["hashtextextended", "text, int8", "int8"],
  ["md5", "text", "text"],
  ["int8multirange", "int8range", "int8multirange"],
  ["unnest", "anyarray", "setof anyelement"],
  ["texteq", "text, text", "bool"],
] as const;

async function tables(database: Database): Promise<unknown> {
  return database.query(
    "select schemaname || '.' || tablename as name from pg_tables where schemaname in ('public', 'rederive') order by 1",
  );
}
