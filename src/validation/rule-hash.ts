/** Versions of rules: a stamp tells not only which rules judged its content, but what each of them asked. */
import { hashOf } from "../hash.ts";

/** Short, because every stamp has one for each check: 48 bits tell the few versions of one rule apart. */
export function ruleHash(asked: Readonly<Record<string, unknown>>): string {
  return hashOf(asked).slice(0, 12);
}
