/**
 * People whom an issuer vouched for, as actors. Each is remembered with the role that they came with last: an approval of
 * somebody who has come without the right since then does not count.
 */
import { RederiveError } from "../errors.ts";
import { freshIdentity, saveIdentity } from "../store/identities.ts";
import type { Tx } from "../tx.ts";
import type { KnownPerson } from "./issuer.ts";
import type { Actor } from "./roles.ts";

/** Throws `forbidden` where the person has no role here; that is remembered as well. */
export async function actorOfIdentity(tx: Tx, { issuer, subject, name, role, groups }: KnownPerson): Promise<Actor> {
  const seen = { issuer, subject, person: name, role, groups };
  const { id, person } = (await freshIdentity(tx, seen)) ?? (await saveIdentity(tx, seen));
  if (role === null) {
    throw new RederiveError("forbidden", `${person} has no role here; ask whoever maintains the roles of ${issuer}`);
  }
  return { name: person, person, role, identity: id, ...(groups === null ? {} : { groups }) };
}
