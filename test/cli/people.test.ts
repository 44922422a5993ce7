/**
 * Production as five people use it on the command line, each with a token: an engineer plans, a reviewer asks for another
 * plan, an approver of the owning group agrees, an operator runs and promotes what was agreed to, and nobody does more.
 */
import { expect, it } from "vitest";
import type { Approvals, Diff, MergeReport, Status } from "../../src/report.ts";
import { type Answer, type Shop, type Variables, withShop } from "./command.ts";

const person = (token: string): Variables => ({
  NODE_ENV: "production",
  REDERIVE_TOKEN: token,
  REDERIVE_ACTOR: undefined,
});

async function issue(shop: Shop, admin: Variables, name: string, role: string, ...more: string[]): Promise<Variables> {
  const issued = await ok(shop, ["token", "create", name, "--role", role, ...more, "--json"], admin);
  return person(issued.json<{ token: string }>().token);
}

async function ok(shop: Shop, args: readonly string[], as: Variables): Promise<Answer> {
  const answer = await shop.run(args, as);
  expect([args, answer.code, answer.stderr]).toEqual([args, 0, expect.any(String)]);
  return answer;
}

async function refused(shop: Shop, args: readonly string[], as: Variables, code: string): Promise<void> {
  const answer = await shop.run(args, as);
  expect([args, answer.code, answer.stderr]).toEqual([args, 4, expect.stringContaining(`[${code}]`)]);
}

async function plan(shop: Shop, as: Variables, reason: string): Promise<string> {
  const planned = await ok(shop, ["plan", "daily_revenue", "--reason", reason, "--json"], as);
  return planned.json<{ backfill: string }>().backfill;
}

it("lets each do what they may, and nobody more", { timeout: 300_000 }, async () => {
  await withShop(async (shop) => {
    const nobody: Variables = { NODE_ENV: "production" };
    await ok(shop, ["migrate"], nobody);
    await refused(shop, ["plan", "--reason", "who am I"], nobody, "unauthenticated");
    const root = await issue(shop, nobody, "root", "admin");
    // Whoever has the database makes the first admin's token, and no other.
    await refused(shop, ["token", "create", "mallory", "--role", "admin"], nobody, "unauthenticated");
    await refused(
      shop,
      ["status"],
      person("rdv_00000000_0000000000000000000000000000000000000000000"),
      "unauthenticated",
    );
    const ada = await issue(shop, root, "ada", "operator");
    const adaToo = await issue(shop, root, "ada laptop", "approver", "--person", "ada");
    const grace = await issue(shop, root, "grace", "approver", "--groups", "finance");
    const edsger = await issue(shop, root, "edsger", "approver", "--groups", "logistics");
    const oscar = await issue(shop, root, "oscar", "operator");
    const vera = await issue(shop, root, "vera", "viewer");
    await shop.query(
      "insert into rederive.identity (issuer, subject, person, role) values ('i', '1', 'alan', 'admin')",
    );
    await ok(shop, ["identity", "disable", "alan", "--reason", "left the company"], root);
    expect((await ok(shop, ["identity", "list"], root)).stdout).toMatch(/alan +none .* disabled since 20/);

    const first = await plan(shop, ada, "refunds were ignored");
    await refused(shop, ["run", first, "--workers", "2"], oscar, "approval_required");
    await ok(shop, ["request-changes", first, "--comment", "say which ticket"], grace);
    await ok(shop, ["cancel", first, "--reason", "planned again"], ada);

    const id = await plan(shop, ada, "refunds were ignored, FIN-12");
    await refused(shop, ["approve", id], ada, "forbidden");
    await refused(shop, ["approve", id], adaToo, "self_approval");
    await refused(shop, ["approve", id], vera, "forbidden");
    await ok(shop, ["approve", id], edsger);
    // The exposure downstream is finance's.
    await refused(shop, ["run", id, "--workers", "2"], oscar, "approval_required");
    const approvals = (await ok(shop, ["approve", id, "--comment", "as agreed", "--json"], grace)).json<Approvals>();
    expect(approvals.needed).toEqual({ start: 1, promote: 1, signOff: ["finance"] });
    expect((await ok(shop, ["status", id, "--json"], vera)).json<Status>()).toMatchObject({
      state: "approved",
      requestedBy: "ada",
    });
    await ok(shop, ["run", id, "--workers", "2"], oscar);
    await refused(shop, ["promote", id, "--reason", "run is fine"], oscar, "approval_required");
    const { digest } = (await ok(shop, ["diff", id, "--json"], grace)).json<Diff>();
    await ok(shop, ["approve", id, "--act", "promote", "--diff", digest], grace);
    await refused(shop, ["promote", id, "--reason", "me too"], vera, "forbidden");
    const promoted = (await ok(shop, ["promote", id, "--reason", "FIN-12", "--json"], oscar)).json<MergeReport>();
    expect(promoted.state).toBe("promoted");
    await ok(shop, ["rollback", id, "--reason", "the dashboard disagrees"], oscar);

    const trail = await shop.query<{ actor: string; act: string; reason: string | null }>(
      `select actor, act, reason from rederive.audit where backfill = '${id}' and actor <> 'planner' order by id`,
    );
    expect(trail.map(({ actor, act }) => `${actor} ${act}`)).toEqual([
      "ada backfill.plan",
      ...["ada denied", "ada laptop denied", "vera denied"],
      "edsger approval.approve",
      "oscar denied",
      "grace approval.approve",
      "oscar backfill.start",
      "oscar denied",
      "grace approval.approve",
      "vera denied",
      "oscar backfill.promote",
      "oscar backfill.rollback",
    ]);
  });
});
