import { describe, expect, it } from "vitest";
import { allows, authorize, isRole, leastRole, roles, type UseCase } from "../../src/governance/roles.ts";

describe("roles", () => {
  it.each(Object.keys(leastRole) as UseCase[])("give %s to its least role and all above", (useCase) => {
    const least = roles.indexOf(leastRole[useCase]);
    expect(roles.map((role) => allows(role, useCase))).toEqual(roles.map((_, rank) => rank >= least));
  });

  it("let nobody below an operator change live tables, and nobody below an approver agree to it", () => {
    for (const useCase of ["backfill.promote", "backfill.rollback"] as const) {
      expect(allows("viewer", useCase)).toBe(false);
      expect(allows("operator", useCase)).toBe(true);
    }
    for (const useCase of ["approval.approve", "approval.request_changes"] as const) {
      expect(allows("operator", useCase)).toBe(false);
      expect(allows("approver", useCase)).toBe(true);
    }
  });

  it("refuse with what is needed", () => {
    expect(() => authorize({ name: "ada", role: "viewer" }, "backfill.start")).toThrowError(
      expect.objectContaining({
        code: "forbidden",
        message: expect.stringContaining("needs the role operator; ada is viewer"),
      }),
    );
    expect(() => authorize({ name: "ada", role: "admin" }, "token.create")).not.toThrow();
  });

  it("are these four", () => {
    expect(isRole("viewer")).toBe(true);
    expect(isRole("root")).toBe(false);
    expect(isRole("toString")).toBe(false);
  });
});
