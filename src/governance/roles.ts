/**
 * Who may do what: four roles, each with all rights of those before it, and the least role of every use case.
 * The HTTP routes, the role × route matrix of the tests and the facade all read this one table.
 */
import { RederiveError } from "../errors.ts";

/** In rising order. */
export const roles = ["viewer", "operator", "approver", "admin"] as const;
export type Role = (typeof roles)[number];

export interface Actor {
  /** Shown in the audit trail: a person's or a token's name. */
  readonly name: string;
  readonly role: Role;
  /** Who it is, whatever the token is called: nobody approves what they asked for themselves. Default: the name. */
  readonly person?: string;
  /** Owner groups that the person speaks for. Default: all. */
  readonly groups?: readonly string[];
  /** Id of the API token that the actor came with. */
  readonly token?: string;
  /** Id of the identity of an OpenID issuer that the actor came with. */
  readonly identity?: string;
}

export const leastRole = {
  "catalog.read": "viewer",
  "backfill.read": "viewer",
  // Rows of the users' own tables can be part of a diff, but a viewer is trusted with derived data.
  "backfill.diff": "viewer",
  "baseline.read": "viewer",
  "check.read": "viewer",
  "lineage.read": "viewer",
  // Rows of users' tables, and a map is run again for it.
  "lineage.rows": "operator",
  "exposure.read": "viewer",
  "limit.read": "viewer",
  "queue.read": "viewer",
  "metrics.read": "viewer",
  // A preview analyses statements inside Postgres, which costs something.
  "plan.preview": "operator",
  "backfill.plan": "operator",
  // It asks questions of sources, which cost something, too.
  "backfill.preflight": "operator",
  "backfill.start": "operator",
  "backfill.pause": "operator",
  "backfill.resume": "operator",
  "backfill.cancel": "operator",
  "backfill.retry": "operator",
  // It reads every partition that it looks at, and may hold a backfill.
  "check.run": "operator",
  "baseline.capture": "operator",
  "limit.set": "operator",
  "doctor.run": "operator",
  // What is right is not said by the one who computes it.
  "baseline.decide": "approver",
  "phase.approve": "approver",
  "approval.read": "viewer",
  // Whoever sees a plan may say what they think of it; only an approval needs the right to approve.
  "approval.comment": "viewer",
  "approval.approve": "approver",
  "approval.request_changes": "approver",
  "approval.withdraw": "approver",
  // These two change live tables; where other people have to agree, the approvals say so, and not the role.
  "backfill.promote": "operator",
  "backfill.rollback": "operator",
  // It cannot be taken back, so it is not left to the one who runs it.
  "backfill.finalize": "approver",
  "window.override": "admin",
  // Who did what and why is not for everybody: approvers judge by it, and an auditor gets a token of that role.
  "audit.read": "approver",
  "audit.verify": "approver",
  "audit.export": "approver",
  // They sign for the installation; pruning takes entries out of the database besides.
  "audit.checkpoint": "admin",
  "audit.prune": "admin",
  "session.read": "viewer",
  // They shut people out, and let them in again.
  "identity.read": "admin",
  "identity.disable": "admin",
  "token.read": "admin",
  "token.create": "admin",
  "token.revoke": "admin",
} as const satisfies Readonly<Record<string, Role>>;

export type UseCase = keyof typeof leastRole;

/** The person behind an actor. */
export function personOf({ name, person }: Actor): string {
  return person ?? name;
}

export function isRole(value: string): value is Role {
  return (roles as readonly string[]).includes(value);
}

export function allows(role: Role, useCase: UseCase): boolean {
  return roles.indexOf(role) >= roles.indexOf(leastRole[useCase]);
}

/** Throws `forbidden` when the actor's role is too low for the use case. */
export function authorize(actor: Actor, useCase: UseCase): void {
  if (allows(actor.role, useCase)) return;
  throw new RederiveError(
    "forbidden",
    `${useCase} needs the role ${leastRole[useCase]}; ${actor.name} is ${actor.role}. Ask an admin for a token with that role.`,
    { details: { useCase, needs: leastRole[useCase], has: actor.role } },
  );
}
