/**
 * A scanner for SQL text: it knows strings, quoted names, dollar quotes and comments, and nothing else of the grammar.
 *
 * Whether a text is one statement cannot be left to the driver: without parameters drivers use the simple protocol,
 * which runs several. A text whose parentheses balance and that has no semicolon outside quotes cannot leave the
 * parentheses that it is put into.
 */

export interface ScannedSql {
  /** The contents of all string literals as Postgres reads them: escapes undone, continued lines joined. */
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
  else if (/^e'/i.test(rest)) readString(scan, 2, cEscape);
  else if (/^u&'/i.test(rest)) readString(scan, 3, unicodeEscape);
  else if (rest.startsWith("'")) readString(scan, 1, undefined);
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

/** What stands for one character of a string, and how long it is in the text. */
type Escape = (text: string, at: number) => { readonly character: string; readonly length: number };

/** Two literals with nothing but a line break between them (and blanks and comments) are one. */
const continuation = /(?:[ \t\f\v]|--[^\r\n]*)*[\r\n](?:\s|--[^\r\n]*[\r\n])*'/y;

function readString(scan: Scan, prefix: number, readEscape: Escape | undefined): void {
  let content = "";
  for (let at = scan.at + prefix; at < scan.text.length; at += 1) {
    const character = scan.text[at] as string;
    if (readEscape !== undefined && character === "\\") {
      const escaped = readEscape(scan.text, at + 1);
      content += escaped.character;
      at += escaped.length;
    } else if (character !== "'") content += character;
    else if (scan.text[at + 1] === "'") {
      at += 1;
      content += "'";
    } else {
      continuation.lastIndex = at + 1;
      if (continuation.test(scan.text)) at = continuation.lastIndex - 1;
      else {
        scan.literals.push(content);
        scan.at = at + 1;
        return;
      }
    }
  }
  scan.faults.push("a string is not closed");
}

const controls: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** Those of `E'…'`. Bytes of more than one to a character come out wrong, which makes no other word of it. */
const cEscape: Escape = (text, at) => {
  const [found, octal, hex, unicode] =
    /^(?:([0-7]{1,3})|x([0-9a-f]{1,2})|u([0-9a-f]{4})|U([0-9a-f]{8}))/i.exec(text.slice(at, at + 9)) ?? [];
  if (found !== undefined) {
    const code =
      octal === undefined ? Number.parseInt(hex ?? unicode ?? found.slice(1), 16) : Number.parseInt(octal, 8);
    return { character: characterOf(code), length: found.length };
  }
  const character = text[at] ?? "";
  return { character: controls[character] ?? character, length: 1 };
};

/** Those of `U&'…'`, with the backslash; another sign can be chosen by `uescape`, which no literal of a time needs. */
const unicodeEscape: Escape = (text, at) => {
  const [found, four, six] = /^(?:([0-9a-f]{4})|\+([0-9a-f]{6}))/i.exec(text.slice(at, at + 7)) ?? [];
  if (found === undefined) return { character: text[at] ?? "", length: 1 };
  return { character: characterOf(Number.parseInt(four ?? six ?? "", 16)), length: found.length };
};

function characterOf(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : "";
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
