/**
 * Queries over a dataset's candidate and inputs, before there is a candidate: whether they can be asked of it at all.
 * The live tables stand in for both, as the columns and their types are the same.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Tx } from "../tx.ts";
import { attempt, pinLocally, questionFaults, rolledBack } from "./compiled.ts";
import { createHandles } from "./describe.ts";
import { identifiers, tableName } from "./quote.ts";

export interface Question {
  readonly name: string;
  /** What a person wrote of it. */
  readonly texts: readonly string[];
  /** As they will be asked: over `candidate` and the inputs by their handles. */
  readonly queries: readonly string[];
}

/** What is wrong with each of these questions, where something is. Must run inside a transaction; runs none of them. */
export async function faultyQuestions(
  tx: Tx,
  derived: Derived,
  questions: readonly Question[],
): Promise<{ readonly name: string; readonly faults: readonly string[] }[]> {
  if (questions.length === 0) return [];
  return rolledBack(tx, "rederive_questions", async () => {
    await pinLocally(tx);
    await createHandles(tx, derived);
    const owned = identifiers(derived.owned.map((column) => column.name));
    await attempt(tx, `create temporary view candidate as select ${owned} from ${tableName(derived.table)}`);
    const found: { name: string; faults: readonly string[] }[] = [];
    for (const [index, { name, texts, queries }] of questions.entries()) {
      const faults = await questionFaults(tx, texts, queries, `rederive_question_${index + 1}`);
      if (faults.length > 0) found.push({ name, faults });
    }
    return found;
  });
}
