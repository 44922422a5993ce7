/** When nobody waits for an answer any more: it was sent whole, or its connection is gone. */
import type { Response } from "express";

/** Resolves then; at once where that was before. */
export async function closeOf(response: Response): Promise<void> {
  if (!response.closed) await new Promise<void>((resolve) => response.once("close", resolve));
}
