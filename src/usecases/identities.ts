/** People whom an issuer vouched for, as an admin sees them: list them, shut somebody out at once, let them in again. */
import { RederiveError } from "../errors.ts";
import { appendAudit } from "../store/audit.ts";
import { disableIdentity, enableIdentity, type IdentityReport, listIdentities } from "../store/identities.ts";
import { deleteSessionsOf } from "../store/sessions.ts";
import type { Context } from "./context.ts";

export interface IdentityChoice {
  /** As `identities` names them. */
  readonly person: string;
  readonly reason: string;
}

/** By name. */
export async function identities({ database }: Context): Promise<IdentityReport[]> {
  return listIdentities(database);
}

/**
 * Their tokens of the issuer and their sessions are refused from the next request on, and what they approved does not count
 * any more. Throws `not_found`.
 */
export async function disable(context: Context, choice: IdentityChoice): Promise<IdentityReport> {
  return change(context, "identity.disable", choice);
}

/** With the role that the issuer says the next time. What they approved before counts again with it. */
export async function enable(context: Context, choice: IdentityChoice): Promise<IdentityReport> {
  return change(context, "identity.enable", choice);
}

async function change(
  { database, actor }: Context,
  act: "identity.disable" | "identity.enable",
  { person, reason }: IdentityChoice,
): Promise<IdentityReport> {
  return database.transaction(async (tx) => {
    const row = await (act === "identity.disable" ? disableIdentity : enableIdentity)(tx, person);
    if (row === undefined) {
      throw new RederiveError(
        "not_found",
        `no issuer has vouched for "${person}"; "rederive identity list" lists people`,
      );
    }
    await deleteSessionsOf(tx, row.id);
    await appendAudit(tx, { actor: actor.name, act, reason, details: { person, identity: row.id } });
    return row;
  });
}
