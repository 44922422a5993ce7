/** The configuration of this repository's own command line: the flights example. */
import { defineConfig } from "rederive";
import flights from "./examples/flights/rederive.config.ts";

export default defineConfig({ ...flights, lockFile: "examples/flights/rederive.lock.json" });
