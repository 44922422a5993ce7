/** A long list in parts, for statements and transactions that are not to grow with it. */

/** In order; each has `size` items but the last. */
export function* chunks<Item>(items: readonly Item[], size: number): Generator<readonly Item[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
