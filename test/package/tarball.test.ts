/**
 * The package as people get it: packed, installed into an empty project by npm, and used there. npm takes its registry
 * from its own configuration; with a warm cache it needs none.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestDatabase } from "../support/postgres.ts";

const run = promisify(execFile);
const repository = fileURLToPath(new URL("../..", import.meta.url));
const modules = join(repository, "node_modules");
const timeout = 240_000;

let folder: string;
let project: string;
let tarball: string;
let files: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rederive-package-"));
  project = join(folder, "project");
  await mkdir(project);
  // Without its build: that was done before the tests, and other tests are running what it made.
  const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", folder];
  const { stdout } = await run("npm", pack, { cwd: repository });
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf("["))) as [{ filename: string; files: { path: string }[] }];
  tarball = join(folder, packed.filename);
  files = packed.files.map((file) => file.path);
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "shop", private: true, type: "module" }));
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", tarball], {
    cwd: project,
  });
}, timeout);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("the tarball", () => {
  it("holds what is built, the migrations and the texts, and nothing else", () => {
    const top = new Set(files.map((path) => path.split("/")[0]));
    const expected = ["CHANGELOG.md", "LICENSE", "README.md", "dist", "migrations", "package.json"];
    expect(top).toEqual(new Set(expected));
    expect(files.filter((path) => /\.(test|tmp)\.|\/\.|^test|\.tsbuildinfo$/.test(path))).toEqual([]);
    for (const path of [
      "dist/index.js",
      "dist/index.d.ts",
      "dist/cli/main.js",
      "dist/testing/index.d.ts",
      "dist/server/index.js",
    ]) {
      expect(files).toContain(path);
    }
  });

  it("gives a command line", { timeout }, async () => {
    const { stdout } = await run("npx", ["--no-install", "rederive", "--help"], { cwd: project });
    expect(stdout).toContain("Usage: rederive");
  });

  it("works as a library without the server's packages, and names them where they are needed", {
    timeout,
  }, async () => {
    const installed = await readdir(join(project, "node_modules"));
    expect(installed).not.toContain("express");
    expect(installed).not.toContain("@bull-board");
    const script = `
      const library = await import("rederive");
      const kit = await import("rederive/testing");
      const server = await import("rederive/server").catch((error) => error.code);
      console.log(JSON.stringify([typeof library.createRederive, typeof kit.runToEnd, server]));`;
    expect(JSON.parse(await node(project, script))).toEqual(["function", "function", "ERR_MODULE_NOT_FOUND"]);
    const database = await createTestDatabase();
    try {
      await writeFile(join(project, "empty.config.js"), emptyConfig);
      const env = { ...process.env, DATABASE_URL: database.url, NODE_ENV: "development" };
      const args = ["--no-install", "rederive", "server", "--config", "empty.config.js"];
      await expect(run("npx", args, { cwd: project, env })).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringContaining("npm install express"),
      });
    } finally {
      await database.drop();
    }
  });

  it("type-checks a catalog strictly, and runs a backfill that application code enqueued", { timeout }, async () => {
    const database = await createTestDatabase();
    const env = { ...process.env, DATABASE_URL: database.url, NODE_ENV: "development", REDIS_URL: "" };
    try {
      await rm(join(project, "package.json"));
      const init = await run("npx", ["--no-install", "rederive", "init"], { cwd: project });
      expect(init.stdout).toContain("wrote catalog.ts");
      await link("typescript", "@types/node", "undici-types", "tsx");
      await writeFile(join(project, "enqueue.ts"), enqueue);
      const checked = await run(process.execPath, [join(modules, "typescript/bin/tsc"), "--noEmit"], { cwd: project });
      expect(checked.stdout).toBe("");
      const loader = fileURLToPath(import.meta.resolve("tsx"));
      expect((await run(process.execPath, ["--import", loader, "seed.ts"], { cwd: project, env })).stdout).toContain(
        "6000",
      );
      const { stdout: id } = await run(process.execPath, ["--import", loader, "enqueue.ts"], { cwd: project, env });
      expect(id).toMatch(/^bf_[2-9a-z]{10}\n$/);
      const args = ["--no-install", "rederive", "run", id.trim(), "--workers", "2", "--json"];
      const { stdout } = await run("npx", args, { cwd: project, env });
      expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toMatchObject({
        state: "verified",
        tasks: { done: 30 },
      });
    } finally {
      await database.drop();
    }
  });
});

const emptyConfig = `import { defineCatalog } from "rederive";\nexport default { catalog: defineCatalog({ datasets: [] }) };\n`;

const enqueue = `
import { type Backfill, createRederive, type Status } from "rederive";
import { dailyRevenue } from "./catalog.ts";
import config from "./rederive.config.ts";

await using rederive = await createRederive(config);
const request = { datasets: [dailyRevenue], reason: "refunds were ignored" };
const backfill: Backfill = await rederive.as({ name: "app", role: "operator" }).plan(request);
const status: Status = await backfill.start();
console.log(status.backfill);
`;

/** What the test's own tools need; the packages that rederive needs were installed by npm. */
async function link(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    if (name.includes("/")) await mkdir(join(project, "node_modules", name.split("/")[0] ?? ""), { recursive: true });
    await symlink(join(modules, name), join(project, "node_modules", name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

async function node(cwd: string, script: string): Promise<string> {
  return (await run(process.execPath, ["--input-type=module", "--eval", script], { cwd })).stdout;
}
