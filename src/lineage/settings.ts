/**
 * Where OpenLineage events go, from the variables that the project's own clients read: OPENLINEAGE_URL and its like, or
 * OPENLINEAGE__TRANSPORT and OPENLINEAGE__TRANSPORT__TYPE and so on, which win.
 */
import { RederiveError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";

export type TransportSettings =
  | { readonly type: "http"; readonly url: string; readonly apiKey: string | undefined; readonly timeoutMs: number }
  | { readonly type: "file"; readonly path: string; readonly append: boolean }
  | { readonly type: "console" };

export interface OpenLineageSettings {
  /** Of jobs. Default "default". */
  readonly namespace: string;
  readonly transport: TransportSettings;
  /** Whether statements are part of the events: REDERIVE_OPENLINEAGE_SQL=1. */
  readonly sql: boolean;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Undefined where nothing is to be sent. Throws `configuration` for a transport that cannot work. */
export function openLineageSettings(variables: Variables): OpenLineageSettings | undefined {
  if (/^(true|1)$/i.test(variables["OPENLINEAGE_DISABLED"] ?? "")) return undefined;
  const transport = transportOf(variables);
  if (transport === undefined) return undefined;
  return {
    namespace: variables["OPENLINEAGE_NAMESPACE"] || "default",
    transport,
    sql: variables["REDERIVE_OPENLINEAGE_SQL"] === "1",
  };
}

function transportOf(variables: Variables): TransportSettings | undefined {
  const options = { ...wholeTransport(variables["OPENLINEAGE__TRANSPORT"]), ...singleOptions(variables) };
  const url = variables["OPENLINEAGE_URL"];
  if (options["type"] === undefined) {
    if (!url) return undefined;
    return http(url, variables["OPENLINEAGE_ENDPOINT"], variables["OPENLINEAGE_API_KEY"], undefined);
  }
  const { type } = options;
  if (type === "console") return { type };
  if (type === "file") return file(options["log_file_path"], options["append"]);
  if (type === "http") {
    const key = options["auth__api_key"] ?? options["auth__apikey"] ?? variables["OPENLINEAGE_API_KEY"];
    return http(
      options["url"] ?? url,
      options["endpoint"] ?? variables["OPENLINEAGE_ENDPOINT"],
      key,
      options["timeout"],
    );
  }
  throw refused(
    `transport "${type}" is not known${didYouMean(type, ["http", "file", "console"])}; use http, file or console`,
  );
}

function http(
  base: string | undefined,
  endpoint: string | undefined,
  apiKey: string | undefined,
  timeout: string | undefined,
): TransportSettings {
  const seconds = timeout === undefined ? 5 : Number(timeout);
  if (!(seconds > 0 && seconds <= 60))
    throw refused(`the timeout is "${timeout}"; give seconds, more than 0 and at most 60`);
  const address = `${(base ?? "").replace(/\/+$/, "")}/${(endpoint || "api/v1/lineage").replace(/^\/+/, "")}`;
  if (!/^https?:\/\//.test(address) || !URL.canParse(address)) {
    throw refused(`the http transport needs a URL such as https://lineage.example.org, and has "${base ?? ""}"`);
  }
  return { type: "http", url: address, apiKey: apiKey || undefined, timeoutMs: seconds * 1_000 };
}

function file(path: string | undefined, append: string | undefined): TransportSettings {
  if (!path) throw refused("the file transport needs OPENLINEAGE__TRANSPORT__LOG_FILE_PATH");
  return { type: "file", path, append: /^(true|1)$/i.test(append ?? "") };
}

/** The transport as one JSON object; nested objects become names with `__` between, as in the variables. */
function wholeTransport(text: string | undefined): Record<string, string> {
  if (!text) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refused("OPENLINEAGE__TRANSPORT is no JSON object");
  }
  return Object.fromEntries(flattened(value, ""));
}

function flattened(value: unknown, prefix: string): [string, string][] {
  if (typeof value !== "object" || value === null) return [[prefix, String(value)]];
  return Object.entries(value).flatMap(([name, inner]) => {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return flattened(inner, prefix === "" ? snake : `${prefix}__${snake}`);
  });
}

const prefix = "OPENLINEAGE__TRANSPORT__";

function singleOptions(variables: Variables): Record<string, string> {
  const auth = wholeTransport(variables[`${prefix}AUTH`]);
  const named = Object.entries(variables).flatMap(([name, value]) =>
    name.startsWith(prefix) && name !== `${prefix}AUTH` && value
      ? [[name.slice(prefix.length).toLowerCase(), value]]
      : [],
  );
  const nested = Object.entries(auth).map(([name, value]) => [`auth__${name}`, value]);
  return Object.fromEntries([...nested, ...named]) as Record<string, string>;
}

function refused(message: string): RederiveError {
  return new RederiveError("configuration", `OpenLineage: ${message}`);
}
