/**
 * Once per test run: the compiled command line, one Postgres cluster (DATABASE_URL names another) with a migrated
 * template database, and one Redis (REDIS_URL, else a server on the PATH or from Debian's packages). Test files make their own databases
 * and key prefixes in them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { findRedisServer, startEmbeddedRedis } from "../../src/embedded/redis.ts";
import { migrate } from "../../src/store/migrate.ts";
import { buildIfStale } from "./built.ts";
import { installRedis } from "./install.ts";
import { requirements } from "./requirements.ts";

declare module "vitest" {
  interface ProvidedContext {
    databaseUrl: string;
    template: string;
    /** Empty where there is no Redis to be had. */
    redisUrl: string;
  }
}

const template = "rederive_template";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  buildIfStale();
  const cluster = await startCluster();
  await makeTemplate(cluster.url);
  const redis = await startRedis();
  project.provide("databaseUrl", cluster.url);
  project.provide("template", template);
  project.provide("redisUrl", redis?.url ?? "");
  return async () => {
    await redis?.stop();
    await cluster.stop();
  };
}

async function startCluster(): Promise<{ url: string; stop: () => Promise<void> }> {
  const given = process.env["DATABASE_URL"];
  if (given) return { url: given, stop: async () => {} };
  const directory = mkdtempSync(join(tmpdir(), "rederive-test-"));
  const server = await startEmbeddedPostgres({ directory, durable: false });
  return {
    url: server.url,
    stop: async () => {
      await server.stop();
      rmSync(server.directory, { recursive: true, force: true });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function makeTemplate(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await sql.unsafe(`drop database if exists ${template} with (force)`);
  await sql.unsafe(`create database ${template}`);
  await sql.end();
  const target = new URL(url);
  target.pathname = `/${template}`;
  await migrate(target.toString());
}

async function startRedis(): Promise<{ url: string; stop: () => Promise<void> } | undefined> {
  const given = process.env["REDIS_URL"];
  if (given) return { url: given, stop: async () => {} };
  const searchPath = process.env["PATH"] ?? "";
  const program = findRedisServer(searchPath) ?? installRedis(searchPath);
  if (program !== undefined) return startEmbeddedRedis(program);
  // Suites that run on both backends would otherwise leave one of them out without a word.
  if (requirements().includes("redis")) throw new Error("REDERIVE_REQUIRE names redis, and there is none");
  return undefined;
}
