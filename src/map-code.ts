/**
 * The identity of a map's code: a hash of its function and of everything of the user's own that it can reach.
 *
 * The catalog's entry file is bundled, so that helpers from other files are in one text; packages stay outside. In the
 * bundle each map function is found by its `derived(table, { …, map })` call, and followed through the top-level names
 * that it mentions. Tokens are hashed, not text: formatting, comments and types do not count, nor do descriptions,
 * checks or the rest of the catalog. A map that cannot be found (its options are built elsewhere) gets the hash of the
 * whole bundle: then it changes too often, but never too seldom.
 */
import { dirname } from "node:path";
import {
  type AnyNode,
  type CallExpression,
  type Node,
  type ObjectExpression,
  type Program,
  parse,
  type Token,
  tokTypes,
} from "acorn";
import { build } from "esbuild";
import { messageOf, RederiveError } from "./errors.ts";
import { sha256 } from "./hash.ts";

/** Hashes by dataset name, for the named datasets, from the file that defines the catalog (TypeScript or JavaScript). */
export async function hashMapCode(entry: string, datasets: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (datasets.length === 0) return new Map();
  const code = await bundle(entry);
  const module = readModule(code);
  const maps = findMaps(module);
  const whole = hashTokens(module, [module.program]);
  return new Map(datasets.map((name) => [name, hashOfMap(module, maps.get(name) ?? []) ?? whole]));
}

/** One ES module with the user's own files; bare imports stay, also where a tsconfig maps them to files. */
async function bundle(entry: string): Promise<string> {
  try {
    const result = await build({
      entryPoints: [entry],
      absWorkingDir: dirname(entry),
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      target: "es2023",
      packages: "external",
      external: ["rederive", "rederive/*", "drizzle-orm", "drizzle-orm/*"],
      legalComments: "none",
      charset: "utf8",
      logLevel: "silent",
    });
    return result.outputFiles[0]?.text ?? "";
  } catch (error) {
    throw new RederiveError("configuration", `cannot bundle ${entry} to hash its maps: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

interface Module {
  readonly code: string;
  readonly program: Program;
  readonly tokens: readonly Token[];
  /** What declares each top-level name: one declarator, function, class or import. */
  readonly declarations: ReadonlyMap<string, Node>;
  /** Top-level statements that declare nothing; one that mentions a name may change what it stands for. */
  readonly effects: readonly Node[];
}

function readModule(code: string): Module {
  const tokens: Token[] = [];
  const program = parse(code, { ecmaVersion: "latest", sourceType: "module", onToken: tokens });
  const declarations = new Map<string, Node>();
  const effects: Node[] = [];
  for (const statement of program.body) {
    const declared = declarationsOf(statement);
    for (const [name, node] of declared) declarations.set(name, node);
    if (declared.length === 0 && !statement.type.startsWith("Export")) effects.push(statement);
  }
  return { code, program, tokens, declarations, effects };
}

function declarationsOf(statement: AnyNode): (readonly [string, Node])[] {
  if (statement.type === "VariableDeclaration") {
    return statement.declarations.flatMap((declarator) =>
      boundNames(declarator.id).map((name) => [name, declarator] as const),
    );
  }
  if (statement.type === "ImportDeclaration") {
    return statement.specifiers.map((specifier) => [specifier.local.name, statement]);
  }
  const named = statement.type === "FunctionDeclaration" || statement.type === "ClassDeclaration";
  return named && statement.id !== null ? [[statement.id.name, statement]] : [];
}

function boundNames(pattern: AnyNode): string[] {
  return [...identifiersIn(pattern)];
}

/** The map functions of a bundle by dataset name. A name that comes up twice has several. */
function findMaps(module: Module): ReadonlyMap<string, Node[]> {
  const maps = new Map<string, Node[]>();
  const derived = namesOfDerived(module.program);
  for (const call of topLevelCalls(module.program)) {
    const options = call.arguments[1];
    if (options?.type !== "ObjectExpression" || !isCallOf(call, derived)) continue;
    const map = propertyOf(options, "map");
    const name = datasetName(module, call.arguments[0], options);
    if (map !== undefined && name !== undefined) maps.set(name, [...(maps.get(name) ?? []), map]);
  }
  return maps;
}

/** Local names under which the bundle knows `derived`, and namespaces that have it. */
function namesOfDerived(program: Program): ReadonlySet<string> {
  const names = new Set<string>();
  for (const statement of program.body) {
    if (statement.type !== "ImportDeclaration" || statement.source.value !== "rederive") continue;
    for (const specifier of statement.specifiers) {
      if (specifier.type === "ImportNamespaceSpecifier") names.add(`${specifier.local.name}.derived`);
      if (specifier.type !== "ImportSpecifier" || specifier.imported.type !== "Identifier") continue;
      if (specifier.imported.name === "derived") names.add(specifier.local.name);
    }
  }
  return names;
}

function isCallOf(call: CallExpression, names: ReadonlySet<string>): boolean {
  const { callee } = call;
  if (callee.type === "Identifier") return names.has(callee.name);
  if (
    callee.type !== "MemberExpression" ||
    callee.object.type !== "Identifier" ||
    callee.property.type !== "Identifier"
  )
    return false;
  return names.has(`${callee.object.name}.${callee.property.name}`);
}

/** Calls that run when the module is loaded. Inside a function a call may run many times, with other arguments. */
function* topLevelCalls(node: AnyNode): Generator<CallExpression> {
  if (/^(Function|ArrowFunction|Class)/.test(node.type)) return;
  if (node.type === "CallExpression") yield node;
  for (const child of childrenOf(node)) yield* topLevelCalls(child);
}

/** The whole property for a method, so that `async` and `*` count; else its value. */
function propertyOf(options: ObjectExpression, key: string): AnyNode | undefined {
  for (const property of options.properties) {
    if (property.type !== "Property" || property.computed) continue;
    const name =
      property.key.type === "Identifier"
        ? property.key.name
        : property.key.type === "Literal"
          ? property.key.value
          : undefined;
    if (name === key) return property.method ? property : property.value;
  }
  return undefined;
}

/** The `name` option, else the table's name as the catalog would take it; undefined where the bundle does not tell. */
function datasetName(module: Module, table: AnyNode | undefined, options: ObjectExpression): string | undefined {
  const named = propertyOf(options, "name");
  if (named !== undefined) return textOf(named);
  const call = callBehind(module, table);
  const name = textOf(call?.arguments[0]);
  if (call === undefined || name === undefined || call.callee.type !== "MemberExpression") return name;
  const schema = textOf(callBehind(module, call.callee.object)?.arguments[0]);
  return schema === undefined ? undefined : schema === "public" ? name : `${schema}.${name}`;
}

/** The call that makes the value of a name: `pgTable("orders", …)`, also under `.enableRLS()`. */
function callBehind(module: Module, node: AnyNode | undefined): CallExpression | undefined {
  if (node?.type === "Identifier") {
    const declaration = module.declarations.get(node.name) as AnyNode | undefined;
    return declaration?.type === "VariableDeclarator" ? callBehind(module, declaration.init ?? undefined) : undefined;
  }
  if (node?.type !== "CallExpression") return undefined;
  const inner =
    node.callee.type === "MemberExpression" && node.callee.object.type === "CallExpression"
      ? node.callee.object
      : undefined;
  return inner === undefined ? node : callBehind(module, inner);
}

function textOf(node: AnyNode | undefined): string | undefined {
  return node?.type === "Literal" && typeof node.value === "string" ? node.value : undefined;
}

/** Undefined where a map was not found, or where two have the same name. */
function hashOfMap(module: Module, maps: readonly Node[]): string | undefined {
  const [map] = maps;
  return map === undefined || maps.length > 1 ? undefined : hashTokens(module, reach(module, map as AnyNode));
}

/** A node, the declarations of all top-level names that it mentions, statements that touch those, and so on. */
function reach(module: Module, start: AnyNode): Node[] {
  const reached = new Set<Node>([start]);
  const names = new Set<string>();
  const pending: AnyNode[] = [start];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    for (const name of identifiersIn(node)) {
      const declaration = module.declarations.get(name);
      if (declaration === undefined || names.has(name)) continue;
      names.add(name);
      const touching = module.effects.filter((effect) => identifiersIn(effect as AnyNode).has(name));
      for (const found of [declaration, ...touching]) {
        if (reached.has(found)) continue;
        reached.add(found);
        pending.push(found as AnyNode);
      }
    }
  }
  return [...reached];
}

/** Names that a node refers to. A name declared inside counts as well: that is too much at worst. */
function identifiersIn(node: AnyNode): Set<string> {
  const names = new Set<string>();
  const visit = (current: AnyNode) => {
    if (current.type === "Identifier") names.add(current.name);
    for (const child of childrenOf(current)) visit(child);
  };
  visit(node);
  return names;
}

/** Child nodes, without names that stand for themselves: `a.name`, `{ name: … }`. */
function childrenOf(node: AnyNode): AnyNode[] {
  const fixedName =
    "computed" in node && node.computed === false ? (node.type === "MemberExpression" ? "property" : "key") : undefined;
  return Object.entries(node).flatMap(([field, value]: [string, unknown]) => {
    if (field === fixedName) return [];
    return (Array.isArray(value) ? value : [value]).filter(isNode);
  });
}

function isNode(value: unknown): value is AnyNode {
  return (
    typeof value === "object" && value !== null && "type" in value && "start" in value && typeof value.type === "string"
  );
}

/** Sorted, so that the order in which files are imported does not matter. */
function hashTokens(module: Module, nodes: readonly Node[]): string {
  const parts = nodes.map((node) => {
    const tokens = module.tokens.filter((token) => token.start >= node.start && token.end <= node.end);
    return tokens.map((token) => tokenText(module.code, token)).join(" ");
  });
  return sha256(parts.sort().join("\n"));
}

/** The text of a token; a string by its value, because quotes are formatting. */
function tokenText(code: string, token: Token): string {
  const text = code.slice(token.start, token.end);
  // Tokens carry their value, which acorn's types leave out.
  const { value } = token as Token & { readonly value?: unknown };
  return token.type === tokTypes.string ? JSON.stringify(value) : text;
}
