/**
 * An evidence bundle: a directory of files, a manifest with the SHA-256 of each, and a signature of the manifest where
 * there is a key. As an archive it is the same in tar and gzip.
 *
 * Checking needs no server: every file is there and no other, has its hash, the manifest its signature, the plan its
 * hash, and the slice of the audit trail its chain.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf, RederiveError } from "../errors.ts";
import { hashOf } from "../hash.ts";
import { isSigned, keyName, type Signer } from "./checkpoint.ts";
import { readText } from "./files.ts";
import { packDirectory, unpack } from "./tar.ts";
import { type TrailVerdict, verifyTrailFile } from "./trail.ts";

const format = "rederive-evidence/1";
const manifestName = "manifest.json";
const signatureName = "manifest.sig.json";
export const planName = "plan.json";
export const chainName = "audit-chain.ndjson";

export interface Manifest {
  readonly format: typeof format;
  readonly backfill: string;
  readonly planHash: string;
  /** ISO instant. */
  readonly createdAt: string;
  readonly createdBy: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

export type ManifestHead = Omit<Manifest, "format" | "files">;

export interface BundleVerdict {
  readonly ok: boolean;
  readonly backfill: string;
  readonly files: number;
  /** What is wrong, in sentences; empty where nothing is. */
  readonly faults: readonly string[];
  /** Short name of the key that signed the manifest; null where nobody did. */
  readonly signedBy: string | null;
  readonly trail: Pick<TrailVerdict, "base" | "head" | "fault">;
}

/** Fills a new directory or archive (a path that ends in .tar.gz or .tgz); nothing is left of it where that fails. */
export async function makeBundle(
  path: string,
  signer: Signer | undefined,
  fill: (directory: string) => Promise<ManifestHead>,
): Promise<Manifest> {
  const packed = isArchive(path);
  const directory = packed
    ? await mkdtemp(join(dirname(path), ".bundle-")).catch((error) => cannot(path, error))
    : path;
  if (!packed) await mkdir(directory, { mode: 0o700 }).catch((error) => cannot(path, error));
  let whole = false;
  try {
    const manifest = await seal(directory, await fill(directory), signer);
    if (packed) await packDirectory(directory, await namesIn(directory), path).catch((error) => cannot(path, error));
    whole = true;
    return manifest;
  } finally {
    if (packed || !whole) await rm(directory, { recursive: true });
  }
}

async function seal(directory: string, head: ManifestHead, signer: Signer | undefined): Promise<Manifest> {
  const names = await namesIn(directory);
  const files = await Promise.all(names.map(async (name) => ({ name, ...(await digestOf(join(directory, name))) })));
  const manifest: Manifest = { format, ...head, files };
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  await writeFile(join(directory, manifestName), text, { mode: 0o600 });
  if (signer !== undefined) {
    const signature = { publicKey: signer.publicKey, signature: signer.sign(text) };
    await writeFile(join(directory, signatureName), `${JSON.stringify(signature)}\n`, { mode: 0o600 });
  }
  return manifest;
}

/** `keys`: public keys of which one must have signed. Throws `verification_failed` for what is no bundle at all. */
export async function checkBundle(path: string, keys: readonly string[] = []): Promise<BundleVerdict> {
  if ((await stat(path).catch((error) => cannot(path, error))).isDirectory()) return checkDirectory(path, keys);
  const directory = await mkdtemp(join(tmpdir(), "rederive-bundle-"));
  try {
    await unpack(path, directory);
    return await checkDirectory(directory, keys);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function checkDirectory(directory: string, keys: readonly string[]): Promise<BundleVerdict> {
  const text = await readText(join(directory, manifestName));
  const manifest = parseManifest(directory, text);
  const names = await namesIn(directory);
  const signature = await checkSignature(directory, names, text, keys);
  const faults = [...signature.faults, ...(await fileFaults(directory, names, manifest))];
  if (names.includes(planName)) faults.push(...(await planFaults(directory, manifest)));
  const { base, head, fault } = await verifyTrailFile(join(directory, chainName), { keys });
  if (fault !== null) faults.push(`${chainName}: ${fault.message}`);
  return {
    ok: faults.length === 0,
    backfill: manifest.backfill,
    files: manifest.files.length,
    faults,
    signedBy: signature.signedBy,
    trail: { base, head, fault },
  };
}

async function fileFaults(directory: string, names: readonly string[], { files }: Manifest): Promise<string[]> {
  const faults: string[] = [];
  for (const { name, sha256 } of files) {
    if (!names.includes(name)) faults.push(`${name} is missing`);
    else if ((await digestOf(join(directory, name))).sha256 !== sha256) faults.push(`${name} was changed`);
  }
  const known = new Set([manifestName, signatureName, ...files.map(({ name }) => name)]);
  for (const name of names) if (!known.has(name)) faults.push(`${name} is not of this bundle`);
  for (const name of [planName, chainName]) {
    if (!files.some((file) => file.name === name)) faults.push(`the manifest does not name ${name}`);
  }
  return faults;
}

async function planFaults(directory: string, { planHash }: Manifest): Promise<string[]> {
  const plan = JSON.parse(await readText(join(directory, planName))) as { decision?: unknown };
  return hashOf(plan.decision) === planHash ? [] : [`${planName}: the decision does not have the hash ${planHash}`];
}

async function checkSignature(
  directory: string,
  names: readonly string[],
  text: string,
  keys: readonly string[],
): Promise<{ readonly signedBy: string | null; readonly faults: readonly string[] }> {
  if (!names.includes(signatureName)) {
    return { signedBy: null, faults: keys.length > 0 ? ["the manifest is not signed"] : [] };
  }
  const { publicKey = "", signature = "" } = JSON.parse(await readText(join(directory, signatureName))) as {
    publicKey?: string;
    signature?: string;
  };
  const signedBy = keyName(publicKey);
  if (!isSigned(text, signature, publicKey)) return { signedBy, faults: ["the manifest is not what was signed"] };
  const trusted = keys.length === 0 || keys.includes(publicKey);
  return { signedBy, faults: trusted ? [] : [`the manifest is signed by ${signedBy}, which is not a trusted key`] };
}

function parseManifest(directory: string, text: string): Manifest {
  let manifest: Partial<Manifest> | null = null;
  try {
    manifest = JSON.parse(text) as Partial<Manifest> | null;
  } catch {
    // It is told below.
  }
  const { files } = manifest ?? {};
  const plain = Array.isArray(files) && files.every(({ name }) => typeof name === "string" && !/[\\/]/.test(name));
  if (manifest?.format === format && plain) return manifest as Manifest;
  throw new RederiveError("verification_failed", `${directory} has no manifest of the format "${format}"`);
}

async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory)).sort();
}

async function digestOf(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

function isArchive(path: string): boolean {
  return path.endsWith(".tar.gz") || path.endsWith(".tgz");
}

function cannot(path: string, error: unknown): never {
  throw new RederiveError("usage", `cannot use ${path}: ${messageOf(error)}`);
}
