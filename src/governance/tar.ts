/**
 * Archives of bundles: the plain files of one directory as tar (ustar) in gzip. Reading accepts what writing makes, and
 * refuses names that lead out of the directory, links, and more bytes than it was told to expect.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { messageOf, RederiveError } from "../errors.ts";

const block = 512;

/** Packs files of a directory, by name, into a new archive. */
export async function packDirectory(directory: string, names: readonly string[], archive: string): Promise<void> {
  const file = createWriteStream(archive, { flags: "wx", mode: 0o600, flush: true });
  await pipeline(Readable.from(blocksOf(directory, names)), createGzip(), file);
}

async function* blocksOf(directory: string, names: readonly string[]): AsyncIterable<Uint8Array> {
  for (const name of names) {
    const path = join(directory, name);
    const { size } = await stat(path);
    yield headerOf(name, size);
    yield* createReadStream(path) as AsyncIterable<Uint8Array>;
    yield Buffer.alloc(paddingOf(size));
  }
  yield Buffer.alloc(2 * block);
}

function headerOf(name: string, size: number): Buffer {
  const header = Buffer.alloc(block);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits - 1, "0");
  header.write(name, 0, 100, "utf8");
  header.write(octal(0o600, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  // No time: the same evidence makes the same archive.
  header.write(octal(0, 12), 136);
  header.write(" ".repeat(8), 148);
  header.write("0", 156);
  header.write("ustar\u000000", 257, "latin1");
  header.write(octal(checksumOf(header), 7), 148);
  header.write("\0 ", 154, "latin1");
  return header;
}

function checksumOf(header: Buffer): number {
  return header.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0);
}

function paddingOf(size: number): number {
  return (block - (size % block)) % block;
}

/** Unpacks into a new directory. Throws `verification_failed` for anything that `packDirectory` does not make. */
export async function unpack(archive: string, directory: string, mostBytes = 10 * 2 ** 30): Promise<void> {
  await mkdir(directory, { recursive: true });
  const file = createReadStream(archive);
  const input = file.pipe(createGunzip());
  file.on("error", (error) => input.destroy(error));
  const bytes = new Bytes(input as AsyncIterable<Buffer>, mostBytes);
  try {
    for (;;) {
      const header = await bytes.take(block);
      if (header.every((byte) => byte === 0)) return;
      await unpackFile(bytes, header, directory);
    }
  } catch (error) {
    throw new RederiveError("verification_failed", `${archive} is not an archive of a bundle: ${messageOf(error)}`);
  } finally {
    file.destroy();
    input.destroy();
  }
}

async function unpackFile(bytes: Bytes, header: Buffer, directory: string): Promise<void> {
  const text = (from: number, length: number) => header.toString("utf8", from, from + length).replace(/\0.*$/s, "");
  const name = text(0, 100);
  if (Number.parseInt(text(148, 8), 8) !== checksumOf(header)) throw new Error("a header is damaged");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) || text(156, 1) !== "0") throw new Error(`it holds "${name}"`);
  const size = Number.parseInt(text(124, 12), 8);
  const file = await open(join(directory, name), "wx", 0o600);
  try {
    for (let left = size; left > 0; ) {
      const piece = await bytes.take(Math.min(left, 65_536));
      await file.write(piece);
      left -= piece.length;
    }
  } finally {
    await file.close();
  }
  await bytes.take(paddingOf(size));
}

/** A stream of bytes, taken in pieces of a wanted length. */
class Bytes {
  readonly #source: AsyncIterator<Buffer>;
  #left: number;
  #ahead = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>, mostBytes: number) {
    this.#source = source[Symbol.asyncIterator]();
    this.#left = mostBytes;
  }

  async take(length: number): Promise<Buffer> {
    while (this.#ahead.length < length) {
      const next = await this.#source.next();
      if (next.done === true) throw new Error("it breaks off");
      this.#left -= next.value.length;
      if (this.#left < 0) throw new Error("it is larger than a bundle may be");
      this.#ahead = Buffer.concat([this.#ahead, next.value]);
    }
    const piece = this.#ahead.subarray(0, length);
    this.#ahead = this.#ahead.subarray(length);
    return piece;
  }
}
