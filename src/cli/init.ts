/**
 * `rederive init`: a small working project in the current folder: two tables with a few rows, a catalog, a
 * configuration and a Procfile. It never overwrites a file.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { RederiveError } from "../errors.ts";
import { createOutput } from "./output.ts";

export function addInit(program: Command): void {
  program
    .command("init")
    .description("write a small working project into a folder")
    .argument("[folder]", "default: the current folder", ".")
    .action((folder: string, _options: unknown, command: Command) => {
      const output = createOutput(command.optsWithGlobals<{ json?: boolean }>().json === true);
      const target = resolve(folder);
      const files = projectFiles();
      const taken = Object.keys(files).filter((name) => name !== "package.json" && existsSync(join(target, name)));
      if (taken.length > 0) {
        throw new RederiveError(
          "usage",
          `${taken.join(", ")} ${taken.length === 1 ? "is" : "are"} there already in ${target}; nothing was written`,
        );
      }
      const written = Object.entries(files).filter(([name, text]) => write(join(target, name), text));
      output.data({ folder: target, files: written.map(([name]) => name) });
      for (const [name] of written) output.text(`wrote ${name}`);
      for (const line of nextSteps) output.text(line);
    });
}

const nextSteps = [
  "",
  "next:",
  "  npm install",
  "  npx rederive dev                 # Postgres, queues, planner, worker and server in one process",
  "  # in another terminal:",
  "  npm run seed                     # creates the tables and a few orders",
  '  npx rederive plan --reason "first run"',
  "  npx rederive run <backfill>      # then diff, promote",
];

/** False where the file is there: only package.json may be, and then it stays as it is. */
function write(path: string, text: string): boolean {
  if (existsSync(path)) return false;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return true;
}

/** The version of this very package, for the new project's dependencies. */
function ownManifest(): {
  version: string;
  dependencies: Record<string, string>;
  optionalPeers: Record<string, string>;
} {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
    dependencies: Record<string, string>;
    peerDependencies: Record<string, string>;
  };
  return { version: manifest.version, dependencies: manifest.dependencies, optionalPeers: manifest.peerDependencies };
}

function projectFiles(): Record<string, string> {
  const { version, dependencies, optionalPeers } = ownManifest();
  const manifest = {
    name: "my-derived-data",
    private: true,
    type: "module",
    scripts: { seed: "tsx seed.ts", check: "tsc --noEmit" },
    dependencies: { rederive: version, postgres: dependencies["postgres"], ...optionalPeers },
    devDependencies: { "@types/node": "^20", tsx: "^4", typescript: ">=5.8", foreman: "^3.0.1" },
  };
  return {
    "package.json": `${JSON.stringify(manifest, null, 2)}\n`,
    "tsconfig.json": `${JSON.stringify(compilerSettings, null, 2)}\n`,
    "schema.ts": schemaFile,
    "catalog.ts": catalogFile,
    "rederive.config.ts": configFile,
    "seed.ts": seedFile,
    Procfile: "web: rederive server\nworker: rederive worker\nplanner: rederive planner\n",
    ".gitignore": "node_modules/\n.rederive/\n",
  };
}

const compilerSettings = {
  compilerOptions: {
    target: "es2023",
    module: "nodenext",
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    types: ["node"],
  },
  include: ["*.ts"],
};

const schemaFile = `/** The application's tables. */
import { date, index, integer, pgTable, primaryKey, serial, text, timestamp } from "drizzle-orm/pg-core";

export const orders = pgTable(
  "orders",
  {
    id: serial("id").primaryKey(),
    createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
    currency: text("currency").notNull(),
    amountCents: integer("amount_cents").notNull(),
    refundedCents: integer("refunded_cents").notNull().default(0),
  },
  (table) => [index("orders_created_at").on(table.createdAt)],
);

export const dailyRevenue = pgTable(
  "daily_revenue",
  {
    day: date("day").notNull(),
    currency: text("currency").notNull(),
    orders: integer("orders").notNull(),
    cents: integer("cents").notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.currency] })],
);
`;

const catalogFile = `/** What is derived from what. */
import { sql } from "drizzle-orm";
import { check, daily, defineCatalog, derived, exposure, source } from "rederive";
import * as t from "./schema.ts";

export const orders = source(t.orders, { partitions: daily(t.orders.createdAt, { timeZone: "UTC" }) });

export const dailyRevenue = derived(t.dailyRevenue, {
  version: 1,
  key: [t.dailyRevenue.day, t.dailyRevenue.currency],
  description: "Paid revenue per day and currency",
  partitions: daily(t.dailyRevenue.day, { timeZone: "UTC" }),
  inputs: { orders },
  select: ({ db, orders }) => {
    const day = sql<string>\`(\${orders.createdAt} at time zone 'UTC')::date\`;
    return db
      .select({
        day,
        currency: orders.currency,
        orders: sql<number>\`count(*)::int\`,
        // The bug to fix: refunds are not subtracted. Write \${orders.amountCents} - \${orders.refundedCents}, and plan again.
        cents: sql<number>\`sum(\${orders.amountCents})::int\`,
      })
      .from(orders)
      .groupBy(day, orders.currency);
  },
  checks: [check.range(t.dailyRevenue.cents, { min: 0 }), check.accepted(t.dailyRevenue.currency, ["EUR", "USD"])],
});

export const financeDashboard = exposure("finance-dashboard", { reads: [dailyRevenue], criticality: "high" });

export const catalog = defineCatalog({ datasets: [orders, dailyRevenue], exposures: [financeDashboard] });
`;

const configFile = `import { defineConfig } from "rederive";
import { catalog } from "./catalog.ts";

// DATABASE_URL and REDIS_URL are read from the environment; "rederive dev" needs neither.
export default defineConfig({ catalog });
`;

const seedFile = `/** Creates the tables and thirty days of orders. */
import postgres from "postgres";
import { embeddedDatabaseUrl } from "rederive/testing";

const url = process.env.DATABASE_URL ?? embeddedDatabaseUrl();
if (url === undefined) throw new Error('start "npx rederive dev" first, or set DATABASE_URL');
const sql = postgres(url, { onnotice: () => {} });
await sql\`create table if not exists public.orders (id serial primary key, created_at timestamptz not null, currency text not null,
  amount_cents integer not null, refunded_cents integer not null default 0)\`;
await sql\`create index if not exists orders_created_at on public.orders (created_at)\`;
await sql\`create table if not exists public.daily_revenue (day date not null, currency text not null, orders integer not null,
  cents integer not null, primary key (day, currency))\`;
const [{ count }] = await sql\`
  with made as (
    insert into public.orders (created_at, currency, amount_cents, refunded_cents)
    select '2026-01-01T00:00Z'::timestamptz + n * interval '7 minutes', case when n % 3 = 0 then 'USD' else 'EUR' end,
      500 + (n * 7919) % 20000, case when n % 11 = 0 then 300 else 0 end
    from generate_series(1, 6000) n where not exists (select from public.orders)
    returning 1)
  select count(*)::int as count from made\`;
console.log(\`\${count} orders written\`);
await sql.end();
`;
