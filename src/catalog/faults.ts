/**
 * Everything that can be wrong with a catalog, except cycles: small rules from definitions to sentences. A sentence
 * names the dataset, the value seen and what to write instead.
 */
import { didYouMean } from "../suggest.ts";
import { assumptionFaults, checkFaults, maskFaults } from "./check-faults.ts";
import { deprecationFaults } from "./deprecation.ts";
import { mappingFault } from "./mapping.ts";
import type { Dataset, Derived, Exposure, Input, Limits, Source } from "./model.ts";
import { proofFaults } from "./proof.ts";
import { schemeFaults } from "./scheme-faults.ts";
import { isColumnOf, qualified, repeated, tableOf, under } from "./wording.ts";

export interface Definitions {
  /** As given to `defineCatalog`, possibly by JavaScript. */
  readonly options: { readonly datasets: unknown };
  readonly datasets: readonly Dataset[];
  readonly exposures: readonly Exposure[];
  readonly resources: Readonly<Record<string, Limits>>;
}

const catalogOptions = ["datasets", "exposures", "resources"];

/** Every fault of the catalog, one sentence each; empty when it can be used. */
export function catalogFaults(definitions: Definitions): string[] {
  const { options, datasets, exposures, resources } = definitions;
  return [
    ...unknownOptions(options),
    ...strangers(options),
    ...datasets.flatMap((dataset) => under(dataset.name, datasetFaults(dataset, definitions))),
    ...duplicates(datasets),
    ...likeNames(datasets),
    ...sharedTables(datasets),
    ...exposures.flatMap((each) => under(`exposure ${each.name}`, exposureFaults(each, datasets))),
    ...repeated(exposures.map((each) => each.name)).map(
      (name) => `exposure ${name}: defined twice; give one another name`,
    ),
    ...Object.entries(resources).flatMap(([name, limits]) =>
      under(`resource ${name}`, resourceFaults(name, limits, datasets)),
    ),
  ];
}

/** Candidate tables are named after datasets, with dots as underscores. */
function likeNames(datasets: readonly Dataset[]): string[] {
  const derived = datasets.filter((dataset) => dataset.kind === "derived").map((dataset) => dataset.name);
  const taken = new Map(derived.filter((name) => !name.includes(".")).map((name) => [name, name] as const));
  return derived
    .filter((name) => name.includes(".") && taken.has(name.replaceAll(".", "_")))
    .map(
      (name) => `${name}: too like ${name.replaceAll(".", "_")}; give one of them another name with the option name`,
    );
}

function unknownOptions(options: Definitions["options"]): string[] {
  return Object.keys(options)
    .filter((option) => !catalogOptions.includes(option))
    .map((option) => `unknown option "${option}"${didYouMean(option, catalogOptions)}`);
}

/** In an array everything must be a dataset; of a module's namespace, only datasets and exposures are taken. */
function strangers({ datasets }: Definitions["options"]): string[] {
  if (!Array.isArray(datasets)) return [];
  return datasets.flatMap((value: unknown, index) => {
    const kind = (value as { kind?: unknown } | null | undefined)?.kind;
    if (kind === "source" || kind === "derived") return [];
    const remedy = kind === "exposure" ? "list exposures under `exposures`" : "give a source(...) or derived(...)";
    return [`datasets[${index}] is no dataset; ${remedy}`];
  });
}

function datasetFaults(dataset: Dataset, definitions: Definitions): string[] {
  return [
    ...dataset.faults,
    ...nameFaults(dataset.name),
    ...under("partitions", schemeFaults(dataset.partitions)),
    ...partitionColumnFaults(dataset),
    ...assumptionFaults(dataset.assumptions),
    ...deprecationFaults(dataset),
    ...(dataset.kind === "derived" ? derivedFaults(dataset, definitions) : sourceKeyFaults(dataset)),
  ];
}

function sourceKeyFaults(source: Source): string[] {
  return [
    ...(source.key?.length === 0 ? ["key names no column; leave it out"] : []),
    ...(source.key ?? [])
      .filter((column) => !isColumnOf(source, column))
      .map((column) => `the key column ${qualified(column)} is not in ${tableOf(source)}`),
  ];
}

function nameFaults(name: string): string[] {
  if (/^[a-z0-9_.]{1,40}$/.test(name)) return [];
  return [`a name is 1 to 40 characters of a-z, 0-9, _ and dot; set the option name`];
}

function partitionColumnFaults(dataset: Dataset): string[] {
  if (dataset.partitions.kind === "whole") return [];
  const { column } = dataset.partitions;
  if (!isColumnOf(dataset, column)) return [`the partition column ${qualified(column)} is not in ${tableOf(dataset)}`];
  if (dataset.kind === "source" || dataset.owned.includes(column)) return [];
  return [`the partition column ${column.name} is not owned; the transform must give it`];
}

function derivedFaults(dataset: Derived, { datasets, resources }: Definitions): string[] {
  return [
    ...numberFaults(dataset),
    ...ownedFaults(dataset),
    ...keyFaults(dataset),
    ...dataset.inputs.flatMap((input) => under(`input ${input.name}`, inputFaults(dataset, input, datasets))),
    ...checkFaults(dataset, datasets),
    ...maskFaults(dataset),
    ...proofFaults(dataset),
    ...limitsOf(dataset, resources),
  ];
}

function numberFaults({ version, attempts, timeoutMs }: Derived): string[] {
  return Object.entries({ version, attempts, timeoutMs })
    .filter(([, value]) => !isPositive(value))
    .map(([option, value]) => `${option} is ${value}; give a positive whole number`);
}

function isPositive(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function ownedFaults(dataset: Derived): string[] {
  const foreign = dataset.owned.filter((column) => !isColumnOf(dataset, column));
  const twice = repeated(dataset.owned.map((column) => column.name));
  return [
    ...(dataset.owned.length === 0 ? ["no column is owned; list some in owned"] : []),
    ...foreign.map((column) => `the owned column ${qualified(column)} is not in ${tableOf(dataset)}`),
    ...twice.map((name) => `the owned column ${name} is listed twice`),
  ];
}

function keyFaults(dataset: Derived): string[] {
  if (dataset.key.length === 0) return ["key is missing; name the columns that identify a row"];
  const twice = repeated(dataset.key.map((column) => column.name)).map(
    (name) => `the key column ${name} is listed twice`,
  );
  const wrong = dataset.key.flatMap((column) => {
    if (!isColumnOf(dataset, column)) return [`the key column ${qualified(column)} is not in ${tableOf(dataset)}`];
    if (dataset.owned.includes(column)) return [];
    return [`the key column ${column.name} is not owned; the transform must give it`];
  });
  return [...twice, ...wrong];
}

/** Names that a handle would take from what is there already. */
const reservedHandles = ["db", "candidate", "rederive_removed"];

function inputFaults(
  dataset: Derived,
  { name, dataset: input, mapping }: Input,
  datasets: readonly Dataset[],
): string[] {
  const faults: string[] = [];
  if (reservedHandles.includes(name)) faults.push("this handle is reserved; choose another");
  if (name.length > 63) faults.push("a handle has at most 63 characters");
  if (!datasets.includes(input)) faults.push(notInCatalog(input, datasets));
  // A mapping that could not be inferred has been told where the definition was made.
  const impossible = mappingFault({ consumer: dataset.partitions, input: input.partitions, mapping });
  if (impossible !== undefined) faults.push(impossible);
  return faults;
}

function notInCatalog(dataset: Dataset, datasets: readonly Dataset[]): string {
  const namesake = datasets.some((other) => other.name === dataset.name);
  if (namesake)
    return `${dataset.name} is another definition than the one of that name in the catalog; use the same one`;
  return `${dataset.name} is not in the catalog; add it to datasets`;
}

function limitsOf(dataset: Derived, resources: Readonly<Record<string, Limits>>): string[] {
  const faults = dataset.limits === undefined ? [] : under("limits", limitsFaults(dataset.limits));
  if (dataset.resource === undefined) return faults;
  if (dataset.limits !== undefined) faults.push("limits and resource exclude each other; give one of them");
  const names = Object.keys(resources);
  if (!names.includes(dataset.resource)) {
    faults.push(
      `unknown resource "${dataset.resource}"${didYouMean(dataset.resource, names)}; declare it under resources`,
    );
  }
  return faults;
}

const limitOptions = ["rate", "concurrency"];

function limitsFaults(limits: Limits): string[] {
  const faults = Object.keys(limits)
    .filter((option) => !limitOptions.includes(option))
    .map((option) => `unknown option "${option}"${didYouMean(option, limitOptions)}`);
  const { rate, concurrency } = limits;
  if (rate === undefined && concurrency === undefined)
    faults.push("nothing is limited; give rate, concurrency or both");
  if (rate !== undefined && !(isPositive(rate.max) && isPositive(rate.per))) {
    faults.push(`rate is ${rate.max} per ${rate.per} ms; give positive whole numbers { max, per }`);
  }
  if (concurrency !== undefined && !isPositive(concurrency)) {
    faults.push(`concurrency is ${concurrency}; give a positive whole number`);
  }
  return faults;
}

function resourceFaults(name: string, limits: Limits, datasets: readonly Dataset[]): string[] {
  const faults = limitsFaults(limits);
  if (!/^[a-z0-9_-]{1,40}$/.test(name)) faults.push("a name is 1 to 40 characters of a-z, 0-9, _ and -");
  const namesake = datasets.some((dataset) => dataset.kind === "derived" && dataset.limits && dataset.name === name);
  if (namesake) faults.push("a dataset of that name has limits of its own; give the resource another name");
  return faults;
}

const criticalities = ["low", "medium", "high", "critical"];

function exposureFaults(exposure: Exposure, datasets: readonly Dataset[]): string[] {
  const unknown = exposure.reads.filter((dataset) => !datasets.includes(dataset));
  const { criticality } = exposure;
  return [
    ...exposure.faults,
    ...(exposure.name.trim() === "" ? ["the name is empty"] : []),
    ...(exposure.reads.length === 0 ? ["reads nothing; name the datasets that it shows"] : []),
    ...unknown.map((dataset) => `reads ${notInCatalog(dataset, datasets)}`),
    ...(criticalities.includes(criticality)
      ? []
      : [
          `criticality is ${criticality}${didYouMean(String(criticality), criticalities)}; give ${criticalities.join(", ")}`,
        ]),
  ];
}

/** A candidate table's name has _ for the dots of its dataset, so names that differ in that alone collide too. */
function duplicates(datasets: readonly Dataset[]): string[] {
  const names = datasets.map((dataset) => dataset.name);
  const twice = repeated(names);
  const alike = repeated([...new Set(names)].map((name) => name.replaceAll(".", "_")));
  return [
    ...twice.map((name) => `${name}: two datasets have this name; set the option name of one`),
    ...alike.map((name) => `${name}: two datasets differ only in dots and underscores; set the option name of one`),
  ];
}

function sharedTables(datasets: readonly Dataset[]): string[] {
  const derived = datasets.filter((dataset) => dataset.kind === "derived");
  const twice = repeated(derived.map(tableOf)).map(
    (table) => `${table}: two derived datasets write this table; use one`,
  );
  const sources = new Set(datasets.filter((dataset) => dataset.kind === "source").map(tableOf));
  const both = derived.map(tableOf).filter((table) => sources.has(table));
  return [
    ...twice,
    ...both.map((table) => `${table}: both a source and a derived dataset; what is derived is no source`),
  ];
}
