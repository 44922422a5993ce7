/** `npx rederive … --config examples/flights/rederive.config.ts`: the catalog as it is now, with the bug fixed. */
import { defineConfig } from "rederive";
import { flightsCatalog } from "./catalog.ts";

export default defineConfig({ catalog: flightsCatalog({ version: 2 }) });
