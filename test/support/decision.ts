/** A plan's decision with everything that a test does not speak about. */
import type { Decision } from "../../src/plan.ts";
import { hashAlgorithm } from "../../src/warehouse/digest.ts";

export function aDecision(of: Partial<Decision> & Pick<Decision, "request">): Decision {
  return {
    format: 2,
    requestReason: "test",
    environment: "test",
    pins: {},
    basis: "none",
    changes: [],
    steps: [],
    unchanged: [],
    retired: [],
    validation: [],
    guarantees: {
      sources: "one snapshot a task",
      promotion: "one transaction",
      liveTables: "untouched before promotion",
      rollback: "until finalized",
      hashAlgorithm,
    },
    ...of,
  };
}
