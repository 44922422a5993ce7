/** The server's packages are optional peers: library users need none of them, so they are loaded on demand. */
import { RederiveError } from "../errors.ts";

type ServerModule = typeof import("../server/index.ts");

/** Throws `configuration` with the command that installs what is missing. */
export async function loadServer(): Promise<ServerModule> {
  try {
    return await import("../server/index.ts");
  } catch (error) {
    const missing = missingPackage(error);
    if (missing === undefined) throw error;
    throw new RederiveError(
      "configuration",
      `the server needs the package ${missing}, which is not installed; run: npm install ${packages.join(" ")}`,
      { cause: error },
    );
  }
}

const packages = ["express", "helmet", "@bull-board/api", "@bull-board/express"];

/** The optional package whose absence an import error reports; undefined for any other error. */
function missingPackage(error: unknown): string | undefined {
  if ((error as { code?: unknown } | null)?.code !== "ERR_MODULE_NOT_FOUND") return undefined;
  const name = /Cannot find package '([^']+)'/.exec((error as Error).message)?.[1];
  return packages.find((known) => known === name);
}
