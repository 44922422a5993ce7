/** The server's own certificate: https without a proxy, and what is said of files that cannot work. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer } from "../../src/server/index.ts";
import { lacks } from "../support/require.ts";
import { type Harness, silentLog, startHarness } from "./support.ts";

let directory: string;
let harness: Harness;
const file = (name: string) => join(directory, name);

/** A certificate of its own authority, for this machine. */
function makeCertificate(name: string): void {
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
      ...["-keyout", file(`${name}.key`), "-out", file(`${name}.crt`)],
    ],
    { stdio: "ignore" },
  );
}

/** The server of the harness once more, with these files. */
function start(certFile: string, keyFile: string, host = "127.0.0.1") {
  const { rederive } = harness;
  rederive.settings = {
    ...rederive.settings,
    server: { ...rederive.settings.server, tls: { certFile: file(certFile), keyFile: file(keyFile) } },
  };
  return startServer(rederive, { port: 0, host, log: silentLog });
}

describe.skipIf(lacks("openssl"))("server.tls", () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "rederive-tls-"));
    for (const name of ["one", "two"]) makeCertificate(name);
    writeFileSync(file("text.crt"), "no certificate");
    harness = await startHarness({ environment: "production" });
  });

  afterAll(async () => {
    await harness.close();
    rmSync(directory, { recursive: true });
  });

  it("serves https, in production beyond a loopback address too, and says that it stays so", async () => {
    const server = await start("one.crt", "one.key", "0.0.0.0");
    try {
      const url = server.url.replace("0.0.0.0", "127.0.0.1");
      expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
      const headers = { authorization: `Bearer ${harness.tokens.viewer}` };
      const answer = await new Promise<{ status: number | undefined; hsts: unknown }>((resolve, reject) => {
        request(`${url}/api/v1/limits`, { ca: readFileSync(file("one.crt")), headers }, (response) => {
          response.resume();
          resolve({ status: response.statusCode, hsts: response.headers["strict-transport-security"] });
        })
          .on("error", reject)
          .end();
      });
      expect(answer).toEqual({ status: 200, hsts: "max-age=31536000; includeSubDomains" });
      await expect(fetch(url.replace("https:", "http:"))).rejects.toThrow();
    } finally {
      await server.close();
    }
  });

  it.each([
    ["none.crt", "one.key", "cannot read server.tls.certFile: ENOENT"],
    ["one.crt", "none.key", "cannot read server.tls.keyFile: ENOENT"],
    ["text.crt", "one.key", "text.crt is no certificate in PEM"],
    ["one.crt", "two.crt", "two.crt is no private key in PEM without a passphrase"],
    ["one.crt", "two.key", "one.crt; give the PEM files of one certificate"],
  ])("of %s and %s is refused: %s", async (certFile, keyFile, message) => {
    await expect((async () => start(certFile, keyFile))()).rejects.toMatchObject({
      ...{ code: "configuration", message: expect.stringContaining(message) },
    });
  });
});
