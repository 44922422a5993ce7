/** Which empty partitions are gaps, and which are usual: nothing is sold on Sundays. Pure. */

/**
 * Of the partitions that were looked at, those without rows whose season (`period` partitions are one round: 7 for days) mostly
 * has some. Where most of them are empty, being empty is usual.
 */
export function gapsIn(looked: readonly number[], empty: readonly number[], period: number): number[] {
  const season = (partition: number) => ((partition % period) + period) % period;
  const seasons = new Map<number, { all: number; empty: number }>();
  const hollow = new Set(empty);
  for (const partition of looked) {
    const of = seasons.get(season(partition)) ?? { all: 0, empty: 0 };
    of.all += 1;
    if (hollow.has(partition)) of.empty += 1;
    seasons.set(season(partition), of);
  }
  // Of one partition a season, as in a window of a few days, nobody knows what is usual: all of the window tells then.
  const share = (partition: number) => {
    const of = seasons.get(season(partition));
    return of !== undefined && of.all >= 2 ? of.empty / of.all : empty.length / looked.length;
  };
  return empty.filter((partition) => share(partition) <= 0.5);
}
