/** Files that people keep as evidence: written whole, flushed to the disk, and never over another file. */
import { createWriteStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { messageOf, RederiveError } from "../errors.ts";

/** Keys are for their owner alone. */
const mode = 0o600;

/** Writes a new file; one whose name ends in .gz is packed. Throws `usage` where there is one already. */
export async function writeNewFile(
  path: string,
  chunks: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
): Promise<void> {
  const file = createWriteStream(path, { flags: "wx", mode, flush: true });
  const packing = path.endsWith(".gz") ? [createGzip()] : [];
  try {
    await pipeline([Readable.from(chunks), ...packing, file]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).path !== path) throw error;
    throw new RederiveError("usage", `cannot write ${path}: ${messageOf(error)}; name a file that does not exist yet`);
  }
}

/** Adds a line to a file, which may be new. */
export async function appendLine(path: string, line: string): Promise<void> {
  const file = await open(path, "a", mode).catch((error: unknown) => {
    throw new RederiveError("usage", `cannot write ${path}: ${messageOf(error)}`);
  });
  try {
    await file.appendFile(`${line}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Throws `usage` where it cannot be read. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new RederiveError("usage", `cannot read ${path}: ${messageOf(error)}`);
  }
}
