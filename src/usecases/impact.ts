/** What a change of a dataset would reach, with the partitions that exist now. */

import { type Affected, affectedBy } from "../planner/affected.ts";
import { livePartitions } from "../planner/changes.ts";
import { extentsOf } from "../planner/impact.ts";
import type { Context } from "./context.ts";
import { type PartitionChoice, rangesOfChoice } from "./partitions.ts";
import { extentsOfSources, liveByDataset, sourcesOf } from "./plan.ts";

export interface ImpactInput {
  /** A source or a derived dataset. */
  readonly dataset: string;
  /** Half-open, aligned to partitions. Everything that exists where left out. */
  readonly window?: { readonly from: string; readonly to: string } | undefined;
  /** Labels or ordinal ranges, instead of a window. */
  readonly partitions?: PartitionChoice | undefined;
}

export async function impact({ catalog, database }: Context, input: ImpactInput): Promise<Affected> {
  const { dataset, window, partitions } = input;
  const asked = partitions === undefined ? undefined : rangesOfChoice(catalog, [dataset], partitions);
  return database.transaction(
    async (tx) => {
      const sources = await extentsOfSources(tx, sourcesOf(catalog));
      const extents = extentsOf(catalog, sources, livePartitions(await liveByDataset(tx)));
      const by = {
        dataset,
        ...(window === undefined ? {} : { window }),
        ...(asked === undefined ? {} : { partitions: asked }),
      };
      return affectedBy(catalog, by, extents);
    },
    { isolation: "repeatable read" },
  );
}
