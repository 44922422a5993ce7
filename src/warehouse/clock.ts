/**
 * What in a statement is read from the clock or the session without a function: `current_date`, `current_user`, and literals
 * such as 'now' and 'today', which Postgres reads as a time.
 */
import { clockFault, sessionFault } from "./functions.ts";
import type { RuleTree } from "./rule-tree.ts";

const timeTypes = new Set([
  ...[1082, 1083, 1114, 1184, 1266], // date, time, timestamp, timestamptz, timetz
  ...[1182, 1183, 1115, 1185, 1270], // arrays of them
  ...[3908, 3910, 3912, 3909, 3911, 3913], // ranges of them, and their arrays
  ...[4533, 4534, 4535, 6152, 6153, 6155], // multiranges of them, and their arrays
]);

/** Its text is not in the tree either. */
const jsonbType = 3802;

/** `literals` are those of the text that the tree was made from. */
export function clockFaults(tree: RuleTree, literals: readonly string[]): string[] {
  const values = [...new Set(tree.sessionValues)].map((name) =>
    /date|time/.test(name) ? `${name} ${clockFault}` : `${name} ${sessionFault}`,
  );
  return [...values, ...clockLiteralFaults(tree, literals)];
}

/**
 * 'now', 'today' and their like are read by the clock: at once, when the literal has a time type, or when the query
 * runs, when a text is cast. The tree no longer has the word in the first case, so the words of the text are looked
 * for in the tree's constants, and one that is nowhere was folded.
 */
function clockLiteralFaults(tree: RuleTree, literals: readonly string[]): string[] {
  const kept = tree.constants.flatMap((constant) => constant.text ?? []);
  const hasTimes = tree.constants.some((constant) => timeTypes.has(constant.type));
  const hasJson = tree.constants.some((constant) => constant.type === jsonbType);
  const isFolded = (literal: string) =>
    isClockWord(literal) && !takeOne(kept, literal) && !(hasJson && isJson(literal));
  const folded = hasTimes ? literals.filter(isFolded) : [];
  const cast = tree.textCasts
    .filter(({ text, type }) => timeTypes.has(type) && isClockWord(text))
    .map(({ text }) => text);
  return [...new Set([...folded, ...cast])].map((literal) => `the literal '${literal}' ${clockFault}`);
}

function takeOne(texts: string[], text: string): boolean {
  const index = texts.indexOf(text);
  if (index < 0) return false;
  texts.splice(index, 1);
  return true;
}

function isClockWord(literal: string): boolean {
  return /\b(now|today|tomorrow|yesterday)\b/i.test(literal);
}

function isJson(literal: string): boolean {
  try {
    JSON.parse(literal);
    return true;
  } catch {
    return false;
  }
}
