/**
 * What a view's parse tree says, read from the text of `pg_rewrite.ev_action`.
 *
 * Postgres has resolved every name by then: functions behind operators, casts and aggregates, relations behind views'
 * names, literals folded to constants. Text that users can influence (aliases, names) is escaped in this format, so
 * the fields searched for here cannot be forged.
 */

export interface RuleTree {
  /** Oids of all functions, also those behind operators, casts, aggregates and window calls. */
  readonly functions: readonly number[];
  /** Oids of all relations. */
  readonly relations: readonly number[];
  /** `current_date`, `current_user` and their like, which are not functions for the parser. */
  readonly sessionValues: readonly string[];
  readonly locksRows: boolean;
  readonly samples: boolean;
  readonly constants: readonly TreeConstant[];
  /** Constants that are cast through their text when the query runs, with the type that they become. */
  readonly textCasts: readonly { readonly text: string; readonly type: number }[];
}

export interface TreeConstant {
  readonly type: number;
  /** The text behind a value of variable length, or undefined for other values. Garbage where the value is no text. */
  readonly text: string | undefined;
}

/** In the order of SQLValueFunctionOp in Postgres' primnodes.h. */
const sessionValueNames = [
  "current_date",
  "current_time",
  "current_time",
  "current_timestamp",
  "current_timestamp",
  "localtime",
  "localtime",
  "localtimestamp",
  "localtimestamp",
  "current_role",
  "current_user",
  "user",
  "session_user",
  "current_catalog",
  "current_schema",
];

export function readRuleTree(action: string): RuleTree {
  return {
    functions: oids(action, /:(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)/g),
    relations: oids(action, /:relid (\d+)/g),
    sessionValues: [...action.matchAll(/(?<!\\)\{SQLVALUEFUNCTION :op (\d+)/g)].map(
      (match) => sessionValueNames[Number(match[1])] ?? "a session value",
    ),
    locksRows: /(?<!\\)\{ROWMARKCLAUSE /.test(action),
    samples: /(?<!\\)\{TABLESAMPLECLAUSE /.test(action),
    constants: [...action.matchAll(/(?<!\\)\{CONST ([^{}]*)\}/g)].map((match) => constantOf(match[1] as string)),
    textCasts: [...action.matchAll(/(?<!\\)\{COERCEVIAIO :arg \{CONST ([^{}]*)\} :resulttype (\d+)/g)].map((match) => ({
      text: constantOf(match[1] as string).text ?? "",
      type: Number(match[2]),
    })),
  };
}

function oids(action: string, pattern: RegExp): number[] {
  const found = new Set([...action.matchAll(pattern)].map((match) => Number(match[1])));
  found.delete(0);
  return [...found];
}

/** `:consttype 25 … :constlen -1 … :constvalue 7 [ 28 0 0 0 110 111 119 ]`: a value's bytes, signed, in its memory form. */
function constantOf(fields: string): TreeConstant {
  const type = Number(/:consttype (\d+)/.exec(fields)?.[1] ?? 0);
  const bytes = /:constvalue \d+ \[ ([-\d ]*)\]/.exec(fields)?.[1];
  if (bytes === undefined || !fields.includes(":constlen -1 ")) return { type, text: undefined };
  // The first four bytes are the length of the value.
  const values = bytes.trim().split(" ").slice(4).map(Number);
  return { type, text: Buffer.from(values.map((value) => value & 0xff)).toString("utf8") };
}
