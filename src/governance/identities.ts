/**
 * People whom an issuer vouched for, as actors. Each is remembered with the role that they came with last: an approval of
 * somebody who has come without the right since then does not count.
 */
import { RederiveError } from "../errors.ts";
import { freshIdentity, saveIdentity } from "../store/identities.ts";
import type { Tx } from "../tx.ts";
import type { KnownPerson } from "./issuer.ts";
import { type Actor, isRole } from "./roles.ts";

/**
 * Throws `unauthenticated` for who was disabled here, and `forbidden` where the person has no role here; that is remembered
 * as well. The newest token of a person decides.
 */
export async function actorOfIdentity(
  tx: Tx,
  { name, ...known }: KnownPerson,
): Promise<Actor & { readonly identity: string }> {
  const seen = { ...known, person: name };
  const { id, person, role, groups, disabled } = (await freshIdentity(tx, seen)) ?? (await saveIdentity(tx, seen));
  if (disabled) throw new RederiveError("unauthenticated", `${person} is disabled here; ask an admin`);
  if (role === null || !isRole(role)) {
    throw new RederiveError("forbidden", `${person} has no role here; ask who maintains the roles of ${known.issuer}`);
  }
  return { name: person, person, role, identity: id, ...(groups === null ? {} : { groups }) };
}
