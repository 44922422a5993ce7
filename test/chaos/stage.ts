/** The stage of a fault test: a database with readings, a Redis, a configuration file, an instance and a fleet. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Acting, type Config, createRederive, type Rederive } from "rederive";
import { updateLockFile } from "../../src/lock-file.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { eventually } from "../support/eventually.ts";
import { type ChaosOptions, chaosCatalog } from "./catalog.ts";
import { Fleet, type FleetOptions } from "./fleet.ts";
import { createEffectLog, createTables, fillReadings, type Shape } from "./oracle.ts";

const catalogFile = fileURLToPath(new URL("./catalog.ts", import.meta.url));

export interface StageOptions {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly prefix: string;
  readonly shape: Shape;
  readonly settings?: Partial<Omit<Config, "catalog">>;
  readonly catalog?: ChaosOptions;
  readonly fleet?: Pick<FleetOptions, "command">;
}

export interface Stage {
  /** Its own pool, so that nothing of what is tested is needed to look at it. */
  readonly sql: Database;
  readonly rederive: Rederive;
  readonly acting: Acting;
  readonly fleet: Fleet;
  /** The configuration file of the fleet. */
  readonly config: string;
  /** A configuration file for the same servers with another catalog. */
  configFor(options: ChaosOptions): string;
  /** Opens another instance on the same servers, closed with the stage. */
  open(options?: ChaosOptions): Promise<Rederive>;
  stateOf(backfill: string): Promise<{ state: string; reason: string | null }>;
  /** Resolves when the backfill has reached the state. */
  reaches(backfill: string, state: string, withinMs?: number): Promise<void>;
  countDone(backfill: string): Promise<number>;
}

/** A lease of two seconds: short enough for a test, long enough for a busy machine. */
const settings = {
  leaseMs: 2_000,
  windowTasks: 400,
  environment: "test" as const,
  codeDriftMs: 1_500,
  drainMs: 10_000,
};

/** Opens everything, runs the callback, and ends every process and connection. */
export async function withStage(options: StageOptions, callback: (stage: Stage) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "rederive-chaos-"));
  const sql = openDatabase(options.databaseUrl, { max: 3, applicationName: "chaos" });
  const opened: Rederive[] = [];
  const lockFile = join(folder, "rederive.lock.json");
  const base = {
    ...settings,
    databaseUrl: options.databaseUrl,
    redisUrl: options.redisUrl,
    prefix: options.prefix,
    lockFile,
    catalogFile,
    ...options.settings,
  };
  const open = async (chaos: ChaosOptions = options.catalog ?? {}): Promise<Rederive> => {
    const rederive = await createRederive({ ...base, catalog: chaosCatalog(chaos) });
    opened.push(rederive);
    return rederive;
  };
  const configFor = (chaos: ChaosOptions): string => {
    const path = join(folder, `${Object.values(chaos).join("-") || "rederive"}.config.mts`);
    const text = `import { chaosCatalog } from ${JSON.stringify(catalogFile)};
export default { catalog: chaosCatalog(${JSON.stringify(chaos)}), ...${JSON.stringify(base)} };
`;
    writeFileSync(path, text);
    return path;
  };
  const config = configFor(options.catalog ?? {});
  const fleet = new Fleet({ config, env: { NODE_ENV: "test" }, ...options.fleet });
  try {
    await updateLockFile(lockFile, chaosCatalog(options.catalog ?? {}), catalogFile);
    // Opening migrates, where the database is not a clone of a migrated one.
    const rederive = await open();
    await sql.query(createTables);
    await sql.query(createEffectLog);
    await sql.query(fillReadings(options.shape));
    await sql.query("analyze public.reading");
    const stateOf = async (id: string) => {
      const [row] = await sql.query<{ state: string; reason: string | null }>(
        "select state, state_reason as reason from rederive.backfill where id = $1::text",
        [id],
      );
      return row ?? { state: "missing", reason: null };
    };
    await callback({
      sql,
      rederive,
      acting: rederive.as({ name: "chaos", role: "admin" }),
      fleet,
      config,
      configFor,
      open,
      stateOf,
      reaches: async (id, state, withinMs = 90_000) => {
        await eventually(
          () => stateOf(id),
          (now) => now.state === state,
          { withinMs, what: `${id} is ${state}`, doomed: () => fleet.crashes[0] },
        );
      },
      countDone: async (id) => {
        const [row] = await sql.query<{ done: number }>(
          "select count(*)::int4 as done from rederive.task where backfill = $1::text and state = 'done'",
          [id],
        );
        return row?.done ?? 0;
      },
    });
  } finally {
    await fleet.stop("SIGKILL");
    for (const rederive of opened) await rederive.close();
    await sql.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
