/** What the API accepts about lineage. */
import { z } from "zod";
import { bound, datasetName, label, wholeNumber } from "./requests.ts";

export const lineagePath = z.strictObject({ dataset: datasetName });

export const lineageQuery = z.strictObject({
  partition: z.exactOptional(label.describe("Label of one partition; default all that are live")),
  direction: z.exactOptional(z.enum(["up", "down", "both"]).describe("Default both")),
  depth: z.exactOptional(wholeNumber("Steps away from the dataset at most; default all", 1_000)),
  asOf: z.exactOptional(bound.describe("What was live then: an ISO 8601 date or instant; default now")),
});

export const exposurePath = z.strictObject({ name: label.describe("The name of an exposure of the catalog") });

export const rowQuery = z.strictObject({
  key: label.max(4_000).describe("The row's key as column=value,column=value, or as a JSON object"),
  rows: z.exactOptional(wholeNumber("Rows of each input to show; default 20", 1_000)),
});
