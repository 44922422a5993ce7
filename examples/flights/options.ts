/** What can be said to the demo on the command line. */
import { parseArgs } from "node:util";

export interface Options {
  readonly json: boolean;
  readonly keep: boolean;
  readonly plant: boolean;
  readonly inProcess: boolean;
  readonly queues: "redis" | "postgres";
  readonly rows: number | undefined;
  readonly workers: number;
}

const usage = `npm run demo -- [options]
  --json             one line of JSON on stdout at the end; the story goes to stderr
  --keep             leave Postgres running and say where
  --plant            corrupt one promoted row before the proof, which must then find it
  --rows <n>         the first n flights only
  --workers <n>      worker processes (2)
  --in-process       run the workers in this process
  --queues postgres  keep the queues in Postgres even where there is a Redis`;

/** Undefined for words that it does not know; it has said so then. */
export function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        plant: { type: "boolean", default: false },
        "in-process": { type: "boolean", default: false },
        queues: { type: "string", default: "redis" },
        rows: { type: "string" },
        workers: { type: "string", default: "2" },
      },
    });
    const { queues } = values;
    if (queues !== "redis" && queues !== "postgres") throw new Error(`--queues is redis or postgres, got ${queues}`);
    return {
      json: values.json,
      keep: values.keep,
      plant: values.plant,
      inProcess: values["in-process"],
      queues,
      rows: values.rows === undefined ? undefined : positive("--rows", values.rows),
      workers: positive("--workers", values.workers),
    };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}\n`);
    return undefined;
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`${name} needs a positive whole number, got ${text}`);
}
