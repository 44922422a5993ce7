/**
 * What an OpenLineage event must look like: the project's own JSON schemas where they are at hand (the folder that
 * REDERIVE_OPENLINEAGE_SCHEMAS names, else ../shared/openlineage), and in every case the shape that they all share.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { repository } from "../cli/command.ts";

const folder = process.env["REDERIVE_OPENLINEAGE_SCHEMAS"] ?? join(repository, "../shared/openlineage");

interface Validators {
  readonly event: ValidateFunction;
  /** By the name of the facet, in the groups in which events have them. */
  readonly facets: ReadonlyMap<string, ValidateFunction>;
}

let loaded: Validators | undefined;

/** Undefined where the schemas are not at hand; says so once. */
function validators(): Validators | undefined {
  if (loaded !== undefined) return loaded;
  if (!existsSync(join(folder, "OpenLineage.json"))) {
    console.info(`OpenLineage events are checked by their shape alone: there are no schemas in ${folder}`);
    return undefined;
  }
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  const read = (path: string) => JSON.parse(readFileSync(path, "utf8")) as { $id: string };
  const event = ajv.compile(read(join(folder, "OpenLineage.json")));
  const facets = new Map<string, ValidateFunction>();
  for (const file of readdirSync(join(folder, "facets"))) {
    const schema = read(join(folder, "facets", file));
    facets.set(schema.$id, ajv.compile(schema));
  }
  loaded = { event, facets };
  return loaded;
}

/** Every fault of an event, and of every facet in it that is not our own; an empty list for a good one. */
export function eventFaults(event: unknown): string[] {
  const faults = shapeFaults(event);
  const found = validators();
  if (found === undefined) return faults;
  if (!found.event(event)) faults.push(...faultsOf("event", found.event));
  for (const [name, facet] of facetsOf(event)) {
    if (name === "rederive") continue;
    const id = String(facet["_schemaURL"]).replace(/#.*$/, "");
    const validate = found.facets.get(id);
    if (validate === undefined) faults.push(`${name}: there is no schema ${id}`);
    else if (!validate({ [name]: facet })) faults.push(...faultsOf(name, validate));
    else if (!(name in (validate.schema as { properties: object }).properties))
      faults.push(`${name}: ${id} is of another facet`);
  }
  return faults;
}

function faultsOf(of: string, { errors }: ValidateFunction): string[] {
  return (errors ?? []).map((error) => `${of}${error.instancePath}: ${error.message}`);
}

type Values = Record<string, unknown>;

/** The facets of run, job and datasets by name. */
function facetsOf(event: unknown): [string, Values][] {
  const {
    run,
    job,
    inputs = [],
    outputs = [],
  } = event as Record<string, Values> & { inputs?: Values[]; outputs?: Values[] };
  const holders = [run, job, ...(inputs as Values[]), ...(outputs as Values[])].filter((each) => each !== undefined);
  return holders.flatMap((holder) =>
    ["facets", "outputFacets"].flatMap((group) => Object.entries((holder[group] ?? {}) as Record<string, Values>)),
  );
}

/** What holds for every event whatever the version of the schema. */
function shapeFaults(event: unknown): string[] {
  const { eventType, eventTime, producer, schemaURL, run, job } = event as Values & { run?: Values; job?: Values };
  const faults: string[] = [];
  const require = (holds: boolean, fault: string) => {
    if (!holds) faults.push(fault);
  };
  require(["START", "RUNNING", "COMPLETE", "ABORT", "FAIL"].includes(
    String(eventType),
  ), `eventType is ${String(eventType)}`);
  require(!Number.isNaN(Date.parse(String(eventTime))), `eventTime is ${String(eventTime)}`);
  require(URL.canParse(String(producer)) && URL.canParse(String(schemaURL)), "producer and schemaURL must be URLs");
  require(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(String(run?.["runId"])), "run.runId must be a UUID");
  require(typeof job?.["namespace"] === "string" && typeof job["name"] === "string", "job needs namespace and name");
  for (const [name, facet] of facetsOf(event)) {
    require(URL.canParse(String(facet["_producer"])) &&
      URL.canParse(String(facet["_schemaURL"])), `${name} says not whose it is`);
  }
  return faults;
}
