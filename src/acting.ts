/** What somebody can do with an instance: one method a use case, for one actor. */
import { Audit } from "./audit.ts";
import { Backfill } from "./backfill.ts";
import type { Catalog } from "./catalog/catalog.ts";
import { createToken, type IssuedToken, listTokens, type NewToken, revokeToken } from "./governance/tokens.ts";
import { catalogInSight } from "./governance/visibility.ts";
import type { ColumnsReport } from "./lineage/columns.ts";
import type { Lineage } from "./lineage/graph.ts";
import type { RowLineage } from "./lineage/rows.ts";
import type { Plan } from "./plan.ts";
import type { Affected } from "./planner/affected.ts";
import { type CatalogGraph, graphOf } from "./planner/catalog-graph.ts";
import type { Baseline, CheckReport, ExposureStatus, Finding, LimitSetting, LiveValidation, Status } from "./report.ts";
import type { BackfillState } from "./states.ts";
import { appendAudit } from "./store/audit.ts";
import { type AuditLag, auditLag } from "./store/audit-chain.ts";
import type { IdentityReport } from "./store/identities.ts";
import type { TokenRow } from "./store/tokens.ts";
import {
  approve,
  type BaselineChoice,
  baselines,
  type CaptureInput,
  captureBaseline,
  retire,
} from "./usecases/baseline.ts";
import { type CatalogReport, describedCatalog } from "./usecases/catalog.ts";
import { type CheckInput, check } from "./usecases/check.ts";
import type { Context } from "./usecases/context.ts";
import { doctor } from "./usecases/doctor.ts";
import { exposure } from "./usecases/exposures.ts";
import { disable, enable, type IdentityChoice, identities } from "./usecases/identities.ts";
import { type ImpactInput, impact } from "./usecases/impact.ts";
import { type LimitInput, limits, setLimit } from "./usecases/limit.ts";
import { type LineageInput, lineage } from "./usecases/lineage.ts";
import { columns } from "./usecases/lineage-columns.ts";
import { type RowInputWish, row } from "./usecases/lineage-rows.ts";
import { type About, permitted } from "./usecases/permitted.ts";
import { openBackfill, type PlanInput, plan, preview } from "./usecases/plan.ts";
import { list } from "./usecases/status.ts";
import { validation } from "./usecases/validation.ts";

/** The use cases of one actor. */
export class Acting {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Plans and stores; nothing runs before `start`. */
  async plan(input: PlanInput): Promise<Backfill> {
    const made = await permitted(this.#context, "backfill.plan", aboutPlan(input), () => plan(this.#context, input));
    return new Backfill(this.#context, made.id, made.plan);
  }

  /** Plans and stores nothing. */
  async preview(input: PlanInput): Promise<Plan> {
    return permitted(this.#context, "plan.preview", aboutPlan(input), () => preview(this.#context, input));
  }

  /** What a change of a dataset would reach; plans nothing. */
  async impact(input: ImpactInput): Promise<Affected> {
    return permitted(this.#context, "plan.preview", { datasets: [input.dataset] }, () => impact(this.#context, input));
  }

  /** What a dataset or a partition of it was computed from, and what was computed from it; now or as of an instant. */
  async lineage(input: LineageInput): Promise<Lineage> {
    return permitted(this.#context, "lineage.read", { datasets: [input.dataset] }, () => lineage(this.#context, input));
  }

  /** The input rows behind one row, exactly or as a stated superset. Throws `not_found` where there is no such row. */
  async lineageRow(input: RowInputWish): Promise<RowLineage> {
    return permitted(this.#context, "lineage.rows", { datasets: [input.dataset] }, () => row(this.#context, input));
  }

  /** How the data behind an exposure is: whether what feeds on it should wait. Throws `not_found`. */
  async exposure(name: string): Promise<ExposureStatus> {
    return permitted(this.#context, "exposure.read", { exposure: name }, () => exposure(this.#context, name));
  }

  /** The definitions, as far as the actor sees them. */
  get catalog(): Catalog {
    const { catalog, sight } = this.#context;
    return sight === undefined ? catalog : catalogInSight(sight, catalog);
  }

  /** The graph of datasets and exposures. */
  async graph(): Promise<CatalogGraph> {
    return permitted(this.#context, "catalog.read", {}, async () => graphOf(this.catalog));
  }

  /** What the datasets and exposures are, for people: meaning, owners, rules in words, freshness, last change and why. */
  async describedCatalog(): Promise<CatalogReport> {
    return permitted(this.#context, "catalog.read", {}, () => describedCatalog(this.#context));
  }

  /** From which columns of its inputs, and through them of the sources, each column of a dataset comes. */
  async lineageColumns(dataset: string): Promise<ColumnsReport> {
    return permitted(this.#context, "lineage.read", { datasets: [dataset] }, () => columns(this.#context, dataset));
  }

  /** A stored backfill. Throws `not_found`. */
  async backfill(id: string): Promise<Backfill> {
    const found = await permitted(this.#context, "backfill.read", { backfill: id }, () =>
      openBackfill(this.#context, id),
    );
    return new Backfill(this.#context, found.id, found.plan);
  }

  /** How far the chain of the audit trail is behind; no secret. */
  async auditLag(): Promise<AuditLag> {
    return permitted(this.#context, "backfill.read", {}, () => auditLag(this.#context.database));
  }

  /** Who decided what and why: the log, its verification, checkpoints and exports. */
  get audit(): Audit {
    return new Audit(this.#context);
  }

  /** Newest first; default 20. */
  async backfills(options: { limit?: number; state?: BackfillState } = {}): Promise<Status[]> {
    return permitted(this.#context, "backfill.read", {}, () => list(this.#context, options));
  }

  /** Asks the checks again, of what is live or of the candidates of a backfill, without computing anything. */
  async check(input: CheckInput = {}): Promise<CheckReport> {
    return permitted(this.#context, "check.run", input, () => check(this.#context, input));
  }

  /** What scheduled looks have found in live data. Asks nothing of the tables themselves. */
  async validation(): Promise<LiveValidation[]> {
    return permitted(this.#context, "check.read", {}, () => validation(this.#context));
  }

  /** Keeps what a dataset or a query over datasets gives now, as the next version of a golden baseline. */
  async captureBaseline(input: CaptureInput): Promise<Baseline> {
    return permitted(this.#context, "baseline.capture", { datasets: [input.dataset], query: input.query }, () =>
      captureBaseline(this.#context, input),
    );
  }

  /** Every candidate is compared with this version from now on. In production not by the one who captured it. */
  async approveBaseline(input: BaselineChoice): Promise<Baseline> {
    return permitted(this.#context, "baseline.decide", { baseline: input.name }, () => approve(this.#context, input));
  }

  /** Nothing is compared with it any more. */
  async retireBaseline(input: BaselineChoice): Promise<Baseline> {
    return permitted(this.#context, "baseline.decide", { baseline: input.name }, () => retire(this.#context, input));
  }

  /** All versions, or those of one name; newest first. */
  async baselines(of: { readonly name?: string | undefined } = {}): Promise<Baseline[]> {
    return permitted(this.#context, "baseline.read", { baseline: of.name }, () => baselines(this.#context, of));
  }

  async limits(): Promise<LimitSetting[]> {
    return permitted(this.#context, "limit.read", {}, () => limits(this.#context));
  }

  /** Changes a limit for the whole fleet while it runs. */
  async setLimit(name: string, limit: LimitInput, reason: string): Promise<LimitSetting> {
    return permitted(this.#context, "limit.set", { datasets: [name] }, () =>
      setLimit(this.#context, name, limit, reason),
    );
  }

  /** Makes an API token; it is shown this once. */
  async createToken(wish: NewToken): Promise<IssuedToken> {
    const { actor, database } = this.#context;
    return permitted(this.#context, "token.create", {}, () =>
      database.transaction(async (tx) => {
        const issued = await createToken(tx, actor.name, wish);
        const details = { id: issued.id, name: issued.name, role: issued.role };
        await appendAudit(tx, { actor: actor.name, act: "token.create", details });
        return issued;
      }),
    );
  }

  async tokens(): Promise<TokenRow[]> {
    return permitted(this.#context, "token.read", {}, () => listTokens(this.#context.database));
  }

  /** The token is refused from the next request on. Throws `not_found`. */
  async revokeToken(id: string): Promise<TokenRow> {
    const { actor, database } = this.#context;
    return permitted(this.#context, "token.revoke", {}, () =>
      database.transaction(async (tx) => {
        const revoked = await revokeToken(tx, id);
        const details = { id: revoked.id, name: revoked.name };
        await appendAudit(tx, { actor: actor.name, act: "token.revoke", details });
        return revoked;
      }),
    );
  }

  /** People whom the issuer vouched for. */
  async identities(): Promise<IdentityReport[]> {
    return permitted(this.#context, "identity.read", {}, () => identities(this.#context));
  }

  /** Refuses a person of the issuer from the next request on. Throws `not_found`. */
  async disableIdentity(choice: IdentityChoice): Promise<IdentityReport> {
    return permitted(this.#context, "identity.disable", {}, () => disable(this.#context, choice));
  }

  /** Lets a person in again. Throws `not_found`. */
  async enableIdentity(choice: IdentityChoice): Promise<IdentityReport> {
    return permitted(this.#context, "identity.disable", {}, () => enable(this.#context, choice));
  }

  /** What is wrong with the set-up, and how to mend it. */
  async doctor(): Promise<Finding[]> {
    return permitted(this.#context, "doctor.run", {}, () => doctor(this.#context));
  }
}

/** Everything that a wish for a plan names. */
function aboutPlan({ datasets = [], expect, sample, continues }: PlanInput): About {
  const sampled = sample !== undefined && "partitions" in sample ? Object.keys(sample.partitions ?? {}) : [];
  return { datasets: [...datasets, ...Object.keys(expect?.datasets ?? {}), ...sampled], backfill: continues };
}
