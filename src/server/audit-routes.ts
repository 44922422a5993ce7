/** Routes about the audit trail: who decided what, and whether anybody changed that afterwards. */
import { z } from "zod";
import { type Checkpoint, publicKeyOf } from "../governance/checkpoint.ts";
import type { TrailVerdict } from "../governance/trail.ts";
import type { AuditLog } from "../usecases/audit.ts";
import { download } from "./download.ts";
import { backfillPath, bound, components, noFields, wholeNumber } from "./requests.ts";
import { count, instant } from "./responses.ts";
import { backfillOf, type Route, route } from "./route.ts";

const logQuery = z.strictObject({
  backfill: z.exactOptional(z.string().min(1).max(80)),
  actor: z.exactOptional(z.string().min(1).max(200)),
  since: z.exactOptional(bound.describe("Entries from then on: an ISO 8601 date or instant")),
  before: z.exactOptional(
    z
      .string()
      .regex(/^\d{1,18}$/, "an id is a number")
      .describe("Entries before this id: the next page"),
  ),
  limit: z.exactOptional(wholeNumber("Entries at most; default 100", 1_000)),
});

const text = z.string().nullable();

const auditLog: z.ZodType<AuditLog> = z
  .object({
    entries: z.array(
      z.object({
        id: z.string(),
        seq: z.int().nullable().describe("Its place in the chain; null where it waits for the sequencer"),
        at: instant,
        actor: z.string(),
        act: z.string(),
        backfill: text,
        dataset: text,
        reason: text,
        planHash: text,
        details: z.record(z.string(), z.unknown()),
      }),
    ),
    next: text.describe("`before` of the next page; null at the end"),
  })
  .register(components, { id: "AuditLog" });

const hash = z.string().regex(/^[0-9a-f]{64}$/, "a hash is 64 of 0-9 and a-f");
const base64 = z.string().min(1).max(200);

const checkpoint: z.ZodType<Checkpoint> = z.strictObject({
  format: z.literal("rederive-audit-checkpoint/1"),
  seq: z.int().min(0),
  hash,
  time: z.string().max(40),
  publicKey: base64,
  signature: base64,
});

const verifyBody = z
  .strictObject({
    checkpoints: z.exactOptional(z.array(checkpoint).max(500).describe("Signed checkpoints that were kept elsewhere")),
    keys: z.exactOptional(
      z.array(z.string().max(1_000)).max(20).describe("Public keys in PEM, of which one must have signed each of them"),
    ),
  })
  .register(components, { id: "AuditVerifyRequest" });

const position = z.object({ seq: count, hash: z.string() });

const verdict: z.ZodType<TrailVerdict> = z
  .object({
    ok: z.boolean(),
    base: position.describe("Behind which the chain begins"),
    head: position.describe("The last link that was found to be right"),
    fault: z
      .object({
        kind: z.enum(["edited", "deleted", "inserted", "reordered", "forked", "truncated"]),
        seq: z.int(),
        through: z.exactOptional(z.int()),
        message: z.string(),
      })
      .nullable(),
    unchained: z.object({ entries: count, oldestAt: instant.nullable() }),
    checkpoints: z.array(z.object({ seq: count, time: instant, key: z.string() })),
    trusted: z.boolean(),
  })
  .register(components, { id: "AuditVerdict" });

export const auditRoutes: readonly Route[] = [
  route({
    operation: "getAuditLog",
    method: "get",
    at: "/audit",
    useCase: "audit.read",
    summary: "Who decided what and why, newest first",
    path: noFields,
    query: logQuery,
    body: noFields,
    answer: auditLog,
    run: ({ rederive, actor, query }) => rederive.as(actor).audit.log(query),
  }),
  route({
    operation: "verifyAudit",
    method: "post",
    at: "/audit/verify",
    useCase: "audit.verify",
    summary: "Compute every hash of the trail again; the first entry that is not what was chained is named",
    path: noFields,
    query: noFields,
    body: verifyBody,
    answer: verdict,
    run: ({ rederive, actor, body: { checkpoints = [], keys = [] } }) =>
      rederive.as(actor).audit.verify({ checkpoints, keys: keys.map(publicKeyOf) }),
  }),
  route({
    operation: "exportEvidence",
    method: "get",
    at: "/backfills/:id/evidence",
    useCase: "audit.export",
    summary:
      'What is recorded of a backfill, as an archive that "rederive audit check-bundle" verifies without a server',
    path: backfillPath,
    query: noFields,
    body: noFields,
    produces: "application/gzip",
    answer: download,
    run: async (call) => {
      const { id } = await backfillOf(call);
      const { audit } = call.rederive.as(call.actor);
      return {
        name: `evidence-${id}.tar.gz`,
        write: (out, signal) => audit.exportBackfill({ backfill: id, out, signal }),
      };
    },
  }),
];
