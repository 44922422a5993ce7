/**
 * A scanner for SQL text: it knows strings, quoted names, dollar quotes and comments, and nothing else of the grammar.
 *
 * Whether a text is one statement cannot be left to the driver: without parameters drivers use the simple protocol,
 * which runs several. A text whose parentheses balance and that has no semicolon outside quotes cannot leave the
 * parentheses that it is put into.
 */

export interface ScannedSql {
  /** The contents of all string literals, escapes undone as far as doubled quotes go. */
  readonly literals: readonly string[];
  /** What keeps the text from being put into parentheses, one sentence each. */
  readonly faults: readonly string[];
}

interface Scan {
  readonly text: string;
  at: number;
  depth: number;
  readonly literals: string[];
  readonly faults: string[];
}

export function scanSql(text: string): ScannedSql {
  const scan: Scan = { text, at: 0, depth: 0, literals: [], faults: [] };
  while (scan.at < text.length && scan.faults.length === 0) step(scan);
  if (scan.faults.length === 0 && scan.depth > 0) scan.faults.push("a parenthesis is not closed");
  return { literals: scan.literals, faults: scan.faults };
}

function step(scan: Scan): void {
  const rest = scan.text.slice(scan.at, scan.at + 64);
  const name = /^[\p{L}_][\p{L}\p{N}_$]*/u.exec(rest)?.[0];
  if (rest.startsWith("--")) skipLine(scan);
  else if (rest.startsWith("/*")) skipComment(scan);
  else if (/^e'/i.test(rest)) readString(scan, 2, true);
  else if (rest.startsWith("'")) readString(scan, 1, false);
  else if (rest.startsWith('"')) skipQuotedName(scan);
  // A dollar inside a name (my$tag$) belongs to the name, so names are taken whole.
  else if (name !== undefined) scan.at += name.length;
  else if (/^\$([\p{L}_][\p{L}\p{N}_]*)?\$/u.test(rest)) readDollarQuote(scan);
  else readSign(scan, rest[0] as string);
}

function readSign(scan: Scan, sign: string): void {
  if (sign === "(") scan.depth += 1;
  if (sign === ")") scan.depth -= 1;
  if (scan.depth < 0) scan.faults.push("a parenthesis is closed that was never opened");
  if (sign === ";") scan.faults.push("it must be one statement, without a semicolon");
  scan.at += 1;
}

function skipLine(scan: Scan): void {
  const end = scan.text.indexOf("\n", scan.at);
  scan.at = end < 0 ? scan.text.length : end + 1;
}

/** Block comments nest in Postgres. */
function skipComment(scan: Scan): void {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = scan.at;
  let depth = 0;
  for (let mark = marks.exec(scan.text); mark !== null; mark = marks.exec(scan.text)) {
    depth += mark[0] === "/*" ? 1 : -1;
    if (depth > 0) continue;
    scan.at = marks.lastIndex;
    return;
  }
  scan.faults.push("a comment is not closed");
}

function readString(scan: Scan, prefix: number, backslashes: boolean): void {
  let content = "";
  for (let at = scan.at + prefix; at < scan.text.length; at += 1) {
    const character = scan.text[at] as string;
    if (backslashes && character === "\\") {
      at += 1;
      content += scan.text[at] ?? "";
    } else if (character !== "'") content += character;
    else if (scan.text[at + 1] === "'") {
      at += 1;
      content += "'";
    } else {
      scan.literals.push(content);
      scan.at = at + 1;
      return;
    }
  }
  scan.faults.push("a string is not closed");
}

/** A doubled quote inside the name looks like the end of one name and the beginning of another, which is as good. */
function skipQuotedName(scan: Scan): void {
  const end = scan.text.indexOf('"', scan.at + 1);
  if (end < 0) scan.faults.push("a quoted name is not closed");
  scan.at = end + 1;
}

function readDollarQuote(scan: Scan): void {
  const open = scan.text.slice(scan.at, scan.text.indexOf("$", scan.at + 1) + 1);
  const start = scan.at + open.length;
  const end = scan.text.indexOf(open, start);
  if (end < 0) {
    scan.faults.push("a dollar-quoted string is not closed");
    return;
  }
  scan.literals.push(scan.text.slice(start, end));
  scan.at = end + open.length;
}
