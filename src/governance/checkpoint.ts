/**
 * Signed checkpoints: where the chain stood at a time. Kept outside of the database, they show a tail that was cut off
 * and a chain that was computed anew, which nothing inside the database can.
 *
 * Signatures are Ed25519 over canonical JSON. A checkpoint carries its public key, so that it can always be checked
 * against itself; whether that key is the right one is for the reader to say (`--key`).
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from "node:crypto";
import { RederiveError } from "../errors.ts";
import { canonicalJson, sha256 } from "../hash.ts";
import { genesis, type Position } from "./chain.ts";

export interface Checkpoint extends Position {
  readonly format: "rederive-audit-checkpoint/1";
  /** ISO instant of its making. */
  readonly time: string;
  /** DER of the public key (SPKI), in base64. */
  readonly publicKey: string;
  /** Of canonical JSON of everything but itself, in base64. */
  readonly signature: string;
}

/** A private key that signs, with what others know of it. */
export interface Signer {
  /** DER (SPKI) in base64. */
  readonly publicKey: string;
  sign(text: string): string;
}

/** PEM of a new key pair. */
export function newKeyPair(): { readonly privateKey: string; readonly publicKey: string } {
  return generateKeyPairSync("ed25519", {
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
}

/** `pem`: a private key as `rederive audit key` writes it. Throws `configuration`. */
export function signerOf(pem: string): Signer {
  const key = parseKey(pem, "private");
  return {
    publicKey: derOf(createPublicKey(key)),
    sign: (text) => signBytes(null, Buffer.from(text, "utf8"), key).toString("base64"),
  };
}

/** The public key in a PEM of either kind, as DER in base64. Throws `usage`. */
export function publicKeyOf(pem: string): string {
  return derOf(parseKey(pem, "public"));
}

/** A short name of a key, for people to compare. */
export function keyName(publicKey: string): string {
  return sha256(publicKey).slice(0, 16);
}

export function makeCheckpoint(signer: Signer, { seq, hash }: Position, time: Date): Checkpoint {
  const body = {
    format: "rederive-audit-checkpoint/1" as const,
    seq,
    hash,
    time: time.toISOString(),
    publicKey: signer.publicKey,
  };
  return { ...body, signature: signer.sign(canonicalJson(body)) };
}

/** Whether `signature` is of `text`, by this key. */
export function isSigned(text: string, signature: string, publicKey: string): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
    return (
      key.asymmetricKeyType === "ed25519" &&
      verifyBytes(null, Buffer.from(text, "utf8"), key, Buffer.from(signature, "base64"))
    );
  } catch {
    return false;
  }
}

/** Checkpoints of a file, one a line. Throws `verification_failed` for one that its key has not signed. */
export function parseCheckpoints(text: string, trusted: readonly string[] = []): Checkpoint[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) throw unreadable("it is empty");
  return lines.map((line) => requireSigned(parseLine(line), trusted));
}

/** The same for one that was read before. `trusted`: public keys of which one has signed it; where empty, any. */
export function requireSigned(checkpoint: Checkpoint, trusted: readonly string[] = []): Checkpoint {
  const { signature, ...body } = checkpoint;
  if (!isSigned(canonicalJson(body), signature, checkpoint.publicKey)) {
    throw new RederiveError(
      "verification_failed",
      `the checkpoint of seq ${checkpoint.seq} is not what its key ${keyName(checkpoint.publicKey)} has signed; it was changed`,
      { details: { seq: checkpoint.seq } },
    );
  }
  if (trusted.length > 0 && !trusted.includes(checkpoint.publicKey)) {
    throw new RederiveError(
      "verification_failed",
      `the checkpoint of seq ${checkpoint.seq} is signed by key ${keyName(checkpoint.publicKey)}, which is none of those that are trusted (${trusted.map(keyName).join(", ")})`,
      { details: { seq: checkpoint.seq } },
    );
  }
  return checkpoint;
}

function parseLine(line: string): Checkpoint {
  let value: Partial<Checkpoint> | null;
  try {
    value = JSON.parse(line) as Partial<Checkpoint> | null;
  } catch {
    throw unreadable("it is not JSON");
  }
  const { format, seq, hash, time, publicKey, signature } = value ?? {};
  const texts = [hash, time, publicKey, signature].every((part) => typeof part === "string");
  if (format !== "rederive-audit-checkpoint/1" || !Number.isSafeInteger(seq) || !texts) {
    throw unreadable(`its format is ${JSON.stringify(format)}`);
  }
  if (hash?.length !== genesis.hash.length) throw unreadable("its hash is not a SHA-256");
  return value as Checkpoint;
}

function unreadable(why: string): RederiveError {
  return new RederiveError(
    "usage",
    `that is no checkpoint: ${why}; give a file that "rederive audit checkpoint" has written`,
  );
}

function parseKey(pem: string, kind: "private" | "public"): KeyObject {
  try {
    const key = kind === "private" ? createPrivateKey(pem) : createPublicKey(pem);
    if (key.asymmetricKeyType !== "ed25519") throw new Error(`it is ${key.asymmetricKeyType}`);
    return key;
  } catch {
    // The cause may quote the key.
    throw new RederiveError(
      kind === "private" ? "configuration" : "usage",
      `that is no Ed25519 ${kind} key in PEM; make one with "rederive audit key"`,
    );
  }
}

function derOf(key: KeyObject): string {
  return key.export({ type: "spki", format: "der" }).toString("base64");
}
