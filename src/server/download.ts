/**
 * Sends a file that is made for one answer: whole before its first byte goes out, so that a failure is still told as a
 * problem document, and gone after the last one.
 */
import { createReadStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Response } from "express";
import { z } from "zod";
import { closeOf } from "./closing.ts";

/** What a route answers whose `produces` says that it is a file. */
export interface Download {
  /** What it is called where it is saved. Its end says what it is. */
  readonly name: string;
  /** Makes it, at a path in a folder of its own; may throw the signal's reason once nobody waits for it any more. */
  readonly write: (path: string, signal: AbortSignal) => Promise<unknown>;
}

export const download = z.custom<Download>();

export async function sendDownload(response: Response, type: string, { name, write }: Download): Promise<void> {
  // HEAD is answered without the length: nobody knows it before the file is made.
  if (response.req.method === "HEAD") return void response.attachment(name).type(type).end();
  const gone = new AbortController();
  void closeOf(response).then(() => gone.abort());
  const folder = await mkdtemp(join(tmpdir(), "rederive-download-"));
  try {
    const path = join(folder, name);
    await write(path, gone.signal);
    const { size } = await stat(path);
    response.attachment(name).type(type).setHeader("Content-Length", size);
    // Who goes away before the end is told nothing; who stays sees by the length that it broke off.
    await pipeline(createReadStream(path), response).catch(() => response.destroy());
  } catch (error) {
    if (!gone.signal.aborted || error !== gone.signal.reason) throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
