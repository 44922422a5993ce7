/**
 * Reads the text form of a Postgres parse tree (`pg_node_tree`) into nested values.
 *
 * The form: `{NAME :field value … :field value …}`, lists in parentheses, `<>` for nothing, and words in which a
 * backslash escapes the next character. A field's value may be several words, as with the bytes of a constant.
 */

export interface TreeNode {
  readonly name: string;
  readonly fields: ReadonlyMap<string, readonly TreeValue[]>;
}

export type TreeValue = string | TreeNode | readonly TreeValue[];

interface Reading {
  readonly tokens: readonly string[];
  at: number;
}

/** The value of a text; the stored rule of a view is a list with one QUERY. */
export function readNodeTree(text: string): TreeValue {
  const tokens = text.match(/[(){}]|"(?:\\.|[^"\\])*"|(?:\\.|[^\s(){}\\])+/gs) ?? [];
  return readValue({ tokens, at: 0 });
}

export function isTreeNode(value: TreeValue | undefined): value is TreeNode {
  return typeof value === "object" && "fields" in value;
}

function readValue(reading: Reading): TreeValue {
  const token = reading.tokens[reading.at] ?? "";
  reading.at += 1;
  if (token === "(") return readUntil(reading, ")");
  return token === "{" ? readNode(reading) : token;
}

function readUntil(reading: Reading, end: string): TreeValue[] {
  const values: TreeValue[] = [];
  while (reading.at < reading.tokens.length && reading.tokens[reading.at] !== end) values.push(readValue(reading));
  reading.at += 1;
  return values;
}

function readNode(reading: Reading): TreeNode {
  const name = reading.tokens[reading.at] ?? "";
  reading.at += 1;
  const fields = new Map<string, TreeValue[]>();
  let values: TreeValue[] = [];
  for (const value of readUntil(reading, "}")) {
    // An escaped colon begins a word of the user's, a plain one the name of a field.
    if (typeof value === "string" && value.startsWith(":")) {
      values = [];
      fields.set(value.slice(1), values);
    } else values.push(value);
  }
  return { name, fields };
}
