import { describe, expect, test } from "vitest";
import { RederiveError } from "../../src/errors.ts";
import { classify, type FailureKind, isConflict } from "../../src/executor/classify.ts";

const state = (code: string) => Object.assign(new Error(`error ${code}`), { code });

describe("classify", () => {
  test.each<[string, FailureKind]>([
    ["22003", "deterministic"],
    ["22P02", "deterministic"],
    ["23505", "deterministic"],
    ["42703", "deterministic"],
    ["P0001", "deterministic"],
    ["40001", "transient"],
    ["40P01", "transient"],
    ["55P03", "transient"],
    ["57P01", "transient"],
    ["08006", "transient"],
    ["53200", "transient"],
    ["25006", "transient"],
    ["XX000", "transient"],
    ["57014", "timeout"],
    ["53100", "exhausted"],
    ["53300", "exhausted"],
    ["EPIPE", "transient"],
    ["ECONNRESET", "transient"],
    ["CONNECTION_CLOSED", "transient"],
  ])("%s is %s", (code, kind) => {
    expect(classify(state(code)).kind).toBe(kind);
  });

  test("looks at the cause of a typed error, and keeps its code", () => {
    const wrapped = new RederiveError("transform_failed", "the map failed", { cause: state("40001") });
    expect(classify(wrapped)).toMatchObject({ kind: "transient", code: "transform_failed", sqlstate: "40001" });
  });

  test("takes an error without a server behind it for a mistake, unless the connection was lost", () => {
    expect(classify(new TypeError("x is not a function"))).toMatchObject({
      kind: "deterministic",
      code: "transform_failed",
    });
    expect(classify(new TypeError("x is not a function"), true).kind).toBe("transient");
    expect(classify(new Error("Connection terminated unexpectedly")).kind).toBe("transient");
  });

  test("cuts messages at 4 KiB without breaking a character", () => {
    const { message } = classify(new Error("é".repeat(5_000)));
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4_096);
    expect(message).toMatch(/^é+…$/);
  });

  test("knows conflicts", () => {
    expect([state("40001"), state("40P01"), state("55P03")].map(isConflict)).toEqual([true, true, false]);
  });
});
