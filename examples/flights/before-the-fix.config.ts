/** The catalog as it was: version 1, in which early departures cancel delays. */
import { defineConfig } from "rederive";
import { flightsCatalog } from "./catalog.ts";

export default defineConfig({ catalog: flightsCatalog({ version: 1 }) });
