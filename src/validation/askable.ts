/** Whether declared checks and assumptions can be asked at all, found out while somebody looks and before anything runs. */
import type { Check } from "../catalog/check.ts";
import type { Derived } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import type { Probe } from "../warehouse/probe.ts";
import { faultyQuestions, type Question } from "../warehouse/questions.ts";
import { compileCheck } from "./compile.ts";

/**
 * Throws `plan_refused` where a check of the dataset does not compile, calls a volatile function, locks or samples rows, or
 * is more than one statement: with the name of each, and what is wrong. Must run inside a transaction.
 */
export async function requireAskable(tx: Tx, derived: Derived): Promise<void> {
  const faulty = await faultyQuestions(tx, derived, derived.checks.flatMap(questionOf));
  if (faulty.length === 0) return;
  const lines = faulty.map(({ name, faults }) => `check ${name}: ${faults.join("; ")}`);
  const list = lines.length === 1 ? ` ${lines[0]}` : `\n${lines.map((line) => `- ${line}`).join("\n")}`;
  throw new RederiveError("plan_refused", `the checks of ${derived.name} cannot be asked:${list}`, {
    details: { dataset: derived.name, checks: faulty },
  });
}

/** A check of the whole dataset alone is made of names and numbers, so there is nothing to find out. */
function questionOf(check: Check): Question[] {
  const probe = compileCheck(check);
  return probe === undefined ? [] : [{ name: check.name, texts: textsOf(check), queries: queriesOf(probe) }];
}

function textsOf(check: Check): string[] {
  if (check.kind === "sql") return [check.expression];
  if (check.kind === "query") return [check.statement];
  const { where, inputWhere } = check as { readonly where?: string; readonly inputWhere?: string };
  return [where, inputWhere].filter((text) => text !== undefined);
}

function queriesOf(probe: Probe): string[] {
  switch (probe.kind) {
    case "row":
      return [`select from candidate where (${probe.failing}\n)`];
    case "aggregate":
      return [`select ${probe.failures} from candidate`, probe.evidence];
    case "statement":
      return [probe.statement];
    case "unique":
    case "outside":
    case "emptied":
      return [];
  }
}
