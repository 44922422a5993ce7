/**
 * The reference part of docs/checks.md as the code says it: for each function its signature, what its docstring says and
 * its options. Read from the text of the modules, because docstrings are nowhere else.
 */
import { readFileSync } from "node:fs";

const files = ["check-of.ts", "check.ts", "rule.ts", "assumption.ts"];
const source = files
  .map((file) => readFileSync(new URL(`../../src/catalog/${file}`, import.meta.url), "utf8"))
  .join("\n");

/** Options that every check has are described once. */
const common = "CheckOptions";

/** `### check.range`, the signature, the docstring and the options, as Markdown. */
export function referenceOf(space: "check" | "rule" | undefined, name: string): string {
  const found = new RegExp(
    String.raw`(/\*\*(?:(?!\*/)[\s\S])*\*/)\n(?:export )?function ${name}(?:<[\s\S]*?>)?\(([\s\S]*?)\): `,
  ).exec(source);
  if (found === null) throw new Error(`there is no function ${name} with a docstring`);
  const [, docstring = "", parameters = ""] = found;
  const flat = oneLine(parameters).replace(/,$/, "");
  const options = /options: (\w+Options)\b/.exec(flat)?.[1];
  const called = space === undefined ? name : `${space}.${name}`;
  return [
    `### ${called}`,
    ["```ts", `${called}(${flat})`, "```"].join("\n"),
    prose(docstring),
    ...(options === undefined || options === common ? [] : [optionsOf(options).join("\n")]),
  ].join("\n\n");
}

/** A list item for each option, those of the interfaces that it extends first. */
function optionsOf(name: string): string[] {
  if (name === common) return [];
  const found = new RegExp(String.raw`interface ${name}(?: extends ([\w, ]+))? \{\n([\s\S]*?)\n\}`).exec(source);
  if (found === null) throw new Error(`there is no interface ${name}`);
  const [, bases = "", body = ""] = found;
  const inherited = bases
    .split(", ")
    .filter((base) => base !== "")
    .flatMap(optionsOf);
  const fields = [...body.matchAll(/(?:(\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\s*)?readonly (\w+\??: [^;]+);/g)];
  return [...inherited, ...fields.map(([, text = "", field = ""]) => `- \`${oneLine(field)}\` ${prose(text)}`.trim())];
}

function prose(docstring: string): string {
  return oneLine(docstring.replace(/^\s*\/\*\*|\*\/\s*$/g, "").replace(/^\s*\* ?/gm, ""));
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
