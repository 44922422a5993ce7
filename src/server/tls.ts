/** The server's own certificate, for a deployment without a proxy that ends TLS. Files are read once, when it starts. */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { TlsSettings } from "../config.ts";
import { messageOf, RederiveError } from "../errors.ts";

export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Throws `configuration` for files that cannot be read, that hold something else, or that do not belong together. */
export function readCertificate({ certFile, keyFile }: TlsSettings): ServerCertificate {
  const cert = textOf("certFile", certFile);
  const key = textOf("keyFile", keyFile);
  requireUsable({ cert }, `server.tls.certFile ${certFile} is no certificate in PEM`);
  requireUsable({ key }, `server.tls.keyFile ${keyFile} is no private key in PEM without a passphrase`);
  requireUsable({ cert, key }, `the key in ${keyFile} is not that of the certificate in ${certFile}`);
  return { cert, key };
}

function textOf(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new RederiveError("configuration", `cannot read server.tls.${option}: ${messageOf(error)}`, { cause: error });
  }
}

/** What OpenSSL says of it is not told: it is about bytes, and the message names the file. */
function requireUsable(parts: Partial<ServerCertificate>, fault: string): void {
  try {
    createSecureContext(parts);
  } catch (error) {
    throw new RederiveError("configuration", `${fault}; give the PEM files of one certificate`, { cause: error });
  }
}
