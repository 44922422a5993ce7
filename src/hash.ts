/** Canonical JSON (RFC 8785) and its SHA-256: the identity of plans and definitions. */
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";

/** Canonical JSON of a plain value: sorted keys, shortest numbers. Throws on values JSON cannot hold. */
export function canonicalJson(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError(`cannot write ${typeof value} as canonical JSON; pass plain data`);
  return text;
}

/** SHA-256 of a text as 64 lower-case hexadecimal digits. */
export function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

/** SHA-256 of a value's canonical JSON. */
export function hashOf(value: unknown): string {
  return sha256(canonicalJson(value));
}
