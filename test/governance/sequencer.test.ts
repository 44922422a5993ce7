import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { entryHash, genesis, linkHash } from "../../src/governance/chain.ts";
import { chainIfAllowed, chainPending } from "../../src/governance/sequencer.ts";
import { appendAudit } from "../../src/store/audit.ts";
import { auditLag } from "../../src/store/audit-chain.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { createRoles, grantControlRights } from "../../src/store/roles.ts";
import type { Database, Tx } from "../../src/tx.ts";
import { eventually } from "../support/eventually.ts";
import { withDatabase } from "../support/postgres.ts";

interface Chained {
  readonly seq: number;
  readonly act: string;
  readonly prev: string;
  readonly hash: string;
}

function withTrail(callback: (database: Database, url: string) => Promise<void>): () => Promise<void> {
  return () =>
    withDatabase(async (url) => {
      const database = openDatabase(url, { max: 10 });
      try {
        await callback(database, url);
      } finally {
        await database.close();
      }
    });
}

const chainOf = (database: Database) =>
  database.query<Chained>(
    `select c.seq::int, a.act, c.prev_hash as prev, c.hash
     from rederive.audit_chain c left join rederive.audit a on a.id = c.entry order by c.seq`,
  );

const act = (tx: Tx, name: string) => appendAudit(tx, { actor: "ada", act: name, reason: "a test" });

/** Gap-free from 1 on, each link upon the one before. */
function expectWhole(chain: readonly Chained[]): void {
  expect(chain.map(({ seq }) => seq)).toEqual(chain.map((_, index) => index + 1));
  expect(chain.map(({ prev }) => prev)).toEqual([genesis.hash, ...chain.slice(0, -1).map(({ hash }) => hash)]);
}

/** The database, but with something that happens right before the statements that match. */
function interrupted(database: Database, at: RegExp, happens: (tx: Tx) => Promise<unknown>): Database {
  return {
    ...database,
    transaction: (work, options) =>
      database.transaction(
        (tx) =>
          work({
            query: async <Row>(text: string, params?: readonly unknown[]) => {
              if (at.test(text)) await happens(tx);
              return tx.query<Row>(text, params);
            },
          }),
        options,
      ),
  };
}

describe("the sequencer", () => {
  it(
    "links what is committed, by hashes that anybody can compute again",
    withTrail(async (database) => {
      await appendAudit(database, { actor: "ada", act: "backfill.plan", details: { b: 1, a: ["ü", 0.5] } });
      await act(database, "backfill.start");
      expect(await auditLag(database)).toMatchObject({ unchained: 2, oldestSeconds: expect.any(Number) });
      expect(await chainPending(database)).toBe(2);
      expect(await chainPending(database)).toBe(0);
      expect(await auditLag(database)).toEqual({ unchained: 0, oldestSeconds: 0 });

      const chain = await chainOf(database);
      expectWhole(chain);
      const [entry] = await database.query<{ id: string; at: string }>(
        `select id::text, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at from rederive.audit where id = 1`,
      );
      const content = entryHash({
        id: entry?.id ?? "",
        at: entry?.at ?? "",
        actor: "ada",
        act: "backfill.plan",
        backfill: null,
        dataset: null,
        reason: null,
        planHash: null,
        details: '{"a": ["ü", 0.5], "b": 1}',
      });
      expect(chain[0]?.hash).toBe(linkHash({ seq: 1, prevHash: genesis.hash, entryHash: content }));
    }),
  );

  it(
    "leaves no gap for a transaction that commits later with a smaller id",
    withTrail(async (database) => {
      let commit = () => {};
      const late = database.transaction(async (tx) => {
        await act(tx, "late");
        await new Promise<void>((resolve) => {
          commit = resolve;
        });
      });
      const appended = () => database.query("select where pg_sequence_last_value('rederive.audit_id_seq') >= 1");
      await eventually(appended, (rows) => rows.length > 0, { what: "the late act has appended its entry" });
      await act(database, "early");
      await chainPending(database);
      expect((await chainOf(database)).map((link) => link.act)).toEqual(["early"]);
      commit();
      await late;
      await chainPending(database);
      const chain = await chainOf(database);
      expect(chain.map((link) => link.act)).toEqual(["early", "late"]);
      expectWhole(chain);
    }),
  );

  it(
    "chains each of many concurrent appends once, while several sequencers run and some acts fail",
    withTrail(async (database, url) => {
      const acts = openDatabase(url, { max: 12 });
      let going = true;
      const sequencers = [1, 2, 3].map(async () => {
        while (going) await chainPending(database, 7);
      });
      // Three acts a writer, one after the other: each is to come after the one before.
      const writers = Array.from({ length: 40 }, async (_, writer) => {
        for (let nth = 0; nth < 3; nth += 1) {
          await acts
            .transaction(async (tx) => {
              await act(tx, `${writer}.${nth}`);
              await pause(Math.random() * 20);
              if (writer % 5 === 4) throw new Error("the act failed");
            })
            .catch(() => {});
        }
      });
      await Promise.all(writers);
      going = false;
      await Promise.all(sequencers);
      await chainPending(database);
      await acts.close();
      const chain = await chainOf(database);
      expectWhole(chain);
      const names = chain.map((link) => link.act);
      expect(names).toHaveLength(32 * 3);
      expect(new Set(names).size).toBe(names.length);
      for (let writer = 0; writer < 40; writer += 1) {
        const own = names.filter((name) => name.startsWith(`${writer}.`));
        expect(own).toEqual([...own].sort());
      }
      expect(await auditLag(database)).toEqual({ unchained: 0, oldestSeconds: 0 });
    }),
  );

  it(
    "chains as the role of planners, and leaves it to them as the role of the API",
    withTrail(async (database) => {
      await database.transaction(async (tx) => {
        await createRoles(tx);
        await grantControlRights(tx);
      });
      const actingAs = (role: string) =>
        interrupted(database, /pg_advisory_xact_lock/, (tx) => tx.query(`set local role ${role}`));
      for (const role of ["rederive_api", "rederive_worker"]) {
        await actingAs(role).transaction(async (tx) => {
          await tx.query("select pg_advisory_xact_lock(1)");
          await act(tx, `an act as ${role}`);
        });
      }
      expect(await chainIfAllowed(actingAs("rederive_api"))).toBe(0);
      expect(await chainOf(database)).toEqual([]);
      expect(await chainIfAllowed(actingAs("rederive_worker"))).toBe(2);
      expectWhole(await chainOf(database));
    }),
  );

  it.each([
    ["before a link is written", /insert into rederive.audit_chain/],
    ["between the chain and what is pending", /delete from rederive.audit_pending/],
  ])("resumes without a gap or a fork after it was killed %s", (_when, at) =>
    withTrail(async (database, url) => {
      const killer = openDatabase(url, { max: 1 });
      const kill = async (tx: Tx) => {
        const [row] = await tx.query<{ pid: number }>("select pg_backend_pid() as pid");
        await killer.query("select pg_terminate_backend($1::int, 5000)", [row?.pid]);
      };
      for (const name of ["one", "two", "three"]) await act(database, name);
      await chainPending(database);
      await act(database, "four");
      await expect(chainPending(interrupted(database, at, kill))).rejects.toThrow();
      expect(await chainOf(database)).toHaveLength(3);
      expect(await auditLag(database)).toMatchObject({ unchained: 1 });
      await act(database, "five");
      expect(await chainPending(database)).toBe(2);
      const chain = await chainOf(database);
      expectWhole(chain);
      expect(chain.map((link) => link.act)).toEqual(["one", "two", "three", "four", "five"]);
      await killer.close();
    })(),
  );
});
