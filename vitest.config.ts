import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^rederive$/, replacement: source("./src/index.ts") },
      { find: /^rederive\/testing$/, replacement: source("./src/testing/index.ts") },
      { find: /^rederive\/server$/, replacement: source("./src/server/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/global.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // For two cores: a third of the time a suite waits for its processes rather than for a core.
    maxWorkers: 3,
  },
});
