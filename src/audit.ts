/** The handle of the audit trail: one method a use case, for one actor. */
import type { Manifest } from "./governance/bundle.ts";
import type { Checkpoint } from "./governance/checkpoint.ts";
import type { TrailVerdict, Trust } from "./governance/trail.ts";
import {
  type AuditLog,
  checkpoint,
  exportTrail,
  type LogInput,
  log,
  type PruneInput,
  type PruneReport,
  prune,
  verifyAudit,
} from "./usecases/audit.ts";
import type { Context } from "./usecases/context.ts";
import { type EvidenceInput, exportEvidence } from "./usecases/evidence.ts";
import { permitted } from "./usecases/permitted.ts";

export class Audit {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Entries, newest first, a page at a time. */
  async log(input: LogInput = {}): Promise<AuditLog> {
    return permitted(this.#context, "audit.read", { backfill: input.backfill }, () => log(this.#context, input));
  }

  /** Computes every hash of the chain again. The verdict names the first entry that is not what was chained. */
  async verify(trust: Trust = {}): Promise<TrailVerdict> {
    return permitted(this.#context, "audit.verify", {}, () => verifyAudit(this.#context, trust));
  }

  /** Signs where the chain stands, with the key in REDERIVE_AUDIT_KEY or REDERIVE_AUDIT_KEY_FILE. */
  async checkpoint(): Promise<Checkpoint> {
    return permitted(this.#context, "audit.checkpoint", {}, () => checkpoint(this.#context));
  }

  /** Writes the whole trail to a file that does not exist yet; it can be verified without a server. */
  async export(path: string): Promise<void> {
    return permitted(this.#context, "audit.export", {}, () => exportTrail(this.#context, path));
  }

  /** Writes what is recorded of a backfill to a new directory or archive (.tar.gz), for somebody who has no access here. */
  async exportBackfill(input: EvidenceInput): Promise<Manifest> {
    return permitted(this.#context, "audit.export", { backfill: input.backfill }, () =>
      exportEvidence(this.#context, input),
    );
  }

  /** Archives old entries in a file and takes them out; the chain begins behind a signed checkpoint then. */
  async prune(input: PruneInput): Promise<PruneReport> {
    return permitted(this.#context, "audit.prune", {}, () => prune(this.#context, input));
  }
}
