/** `rederive audit`: the trail of who decided what; reading, verifying, signing and pruning it. */
import type { Command } from "commander";
import type { BundleVerdict } from "../governance/bundle.ts";
import type { TrailVerdict, Trust } from "../governance/trail.ts";
import type { ChainVerdict } from "../governance/verify.ts";
import type { LogEntry } from "../usecases/audit.ts";
import { reasonOf } from "./control.ts";
import { exitCodes } from "./exit.ts";
import { wholeNumber } from "./numbers.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { colors, createOutput, type Output, table } from "./output.ts";

interface LogOptions extends CommonOptions {
  readonly actor?: string;
  readonly since?: string;
  readonly before?: string;
  readonly limit?: number;
}

interface VerifyOptions extends CommonOptions {
  readonly file?: string;
  readonly checkpoint: readonly string[];
  readonly key: readonly string[];
}

interface PruneOptions extends CommonOptions {
  readonly before: string;
  readonly archive: string;
  readonly reason?: string;
}

export function addAudit(program: Command): void {
  const audit = program
    .command("audit")
    .description("the trail of who decided what, and the proof that nobody changed it");
  addLog(audit);
  addVerify(audit);
  addKey(audit);
  addCheckpoint(audit);
  addExport(audit);
  addCheckBundle(audit);
  addPrune(audit);
}

function addExport(audit: Command): void {
  audit
    .command("export")
    .description("write the evidence of a backfill, or the whole trail, to where it is verified without a server")
    .argument("[backfill]", "its evidence as a directory, or an archive where the name ends in .tar.gz")
    .requiredOption("--out <path>", "must not exist yet; a trail is packed where its name ends in .gz")
    .action(async (backfill: string | undefined, _options: unknown, command: Command) => {
      const { out, ...options } = command.optsWithGlobals<CommonOptions & { readonly out: string }>();
      await withRederive(options, async ({ acting, output }) => {
        if (backfill === undefined) {
          await acting.audit.export(out);
          output.data({ trail: out });
          output.text(`the trail is in ${out}; verify it with: rederive audit verify --file ${out}`);
          return;
        }
        const manifest = await acting.audit.exportBackfill({ backfill, out });
        output.data({ bundle: out, ...manifest });
        output.text(
          `${manifest.files.length} files are in ${out}; verify them with: rederive audit check-bundle ${out}`,
        );
      });
    });
}

function addCheckBundle(audit: Command): void {
  audit
    .command("check-bundle")
    .description("verify the evidence of a backfill without a server: files, signature, plan and audit chain")
    .argument("<path>", "the directory or archive")
    .option("--key <file>", "public key in PEM that must have signed it; may be given again", gathered, [])
    .action(async (path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { readonly key: readonly string[] }>();
      const { checkBundle } = await import("../governance/bundle.ts");
      const { keys } = await trustOf({ checkpoint: [], key: options.key });
      tellBundle(createOutput(options.json === true), await checkBundle(path, keys), keys.length > 0);
    });
}

function tellBundle(output: Output, verdict: BundleVerdict, trusted: boolean): void {
  const { ok, backfill, files, faults, signedBy, trail } = verdict;
  output.data(verdict);
  for (const fault of faults) output.text(colors.red(fault));
  if (ok) output.text(colors.green(`${files} files of ${backfill} are as they were exported`));
  if (ok) output.text(`  ${chainLine(trail)}`);
  output.text(signedBy === null ? "  nobody signed them" : `  signed by ${signedBy}`);
  if (signedBy !== null && !trusted) output.text("  nobody said which key is the right one; give it with --key");
  if (!ok) process.exitCode = exitCodes.checksFailed;
}

function addLog(audit: Command): void {
  audit
    .command("log")
    .description("show the latest entries, of all or of one backfill")
    .argument("[backfill]")
    .option("--actor <name>", "only what this actor did")
    .option("--since <time>", "only from then on, for example 2026-01-31 or 2026-01-31T12:00:00Z")
    .option("--before <id>", "only entries before this one: the next page")
    .option("--limit <n>", "entries at most; default 100", wholeNumber(1, 1_000))
    .action(async (backfill: string | undefined, _options: unknown, command: Command) => {
      const { actor, since, before, limit, ...common } = command.optsWithGlobals<LogOptions>();
      await withRederive(common, async ({ acting, output }) => {
        const page = await acting.audit.log({ backfill, actor, since, before, limit });
        output.data(page);
        for (const line of logLines(page.entries)) output.text(line);
        if (page.next !== null && !output.json) output.note(`there are older ones: --before ${page.next}`);
      });
    });
}

function addVerify(audit: Command): void {
  audit
    .command("verify")
    .description("compute every hash of the trail again; with --file without a server")
    .option("--file <file>", "a trail that was exported or pruned, instead of the database")
    .option("--checkpoint <file>", "signed checkpoints that were kept elsewhere; may be given again", gathered, [])
    .option("--key <file>", "public key in PEM that must have signed them; may be given again", gathered, [])
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<VerifyOptions>();
      const trust = await trustOf(options);
      if (options.file !== undefined) {
        const { verifyTrailFile } = await import("../governance/trail.ts");
        tellVerdict(createOutput(options.json === true), await verifyTrailFile(options.file, trust));
        return;
      }
      await withRederive(options, async ({ acting, output }) => {
        tellVerdict(output, await acting.audit.verify(trust));
      });
    });
}

function addKey(audit: Command): void {
  audit
    .command("key")
    .description("make a key pair for signing checkpoints: <file> and <file>.pub")
    .requiredOption("--out <file>", "where the private key goes; it must not exist yet")
    .action(async (_options: unknown, command: Command) => {
      const { out, json } = command.optsWithGlobals<CommonOptions & { readonly out: string }>();
      const { keyName, newKeyPair, publicKeyOf } = await import("../governance/checkpoint.ts");
      const { writeNewFile } = await import("../governance/files.ts");
      const { privateKey, publicKey } = newKeyPair();
      await writeNewFile(out, [privateKey]);
      await writeNewFile(`${out}.pub`, [publicKey]);
      const output = createOutput(json === true);
      const key = keyName(publicKeyOf(publicKey));
      output.data({ key, privateKey: out, publicKey: `${out}.pub` });
      output.text(
        `key ${key}: set REDERIVE_AUDIT_KEY_FILE=${out} for the planner; give ${out}.pub to those who verify`,
      );
    });
}

function addCheckpoint(audit: Command): void {
  audit
    .command("checkpoint")
    .description("sign where the trail stands now, and add that to a file outside of the database")
    .requiredOption("--out <file>", "a file of checkpoints, one a line")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { readonly out: string }>();
      await withRederive(options, async ({ acting, output }) => {
        const { appendLine } = await import("../governance/files.ts");
        const checkpoint = await acting.audit.checkpoint();
        await appendLine(options.out, JSON.stringify(checkpoint));
        output.data(checkpoint);
        output.text(
          `seq ${checkpoint.seq} is signed, in ${options.out}; keep it where the database's owner cannot write`,
        );
      });
    });
}

function addPrune(audit: Command): void {
  audit
    .command("prune")
    .description("move old entries into a file, behind a signed checkpoint from which the trail stays verifiable")
    .requiredOption("--before <time>", "entries older than this, for example 2026-01-31")
    .requiredOption("--archive <file>", "where they go; it must not exist yet")
    .option("--reason <text>", "why; it goes into the audit trail")
    .action(async (_options: unknown, command: Command) => {
      const { before, archive, ...options } = command.optsWithGlobals<PruneOptions>();
      await withRederive(options, async ({ acting, output }) => {
        const report = await acting.audit.prune({ before, archive, reason: reasonOf(options) });
        output.data(report);
        output.text(
          report.checkpoint === null
            ? `no entry is older than ${before}`
            : `${report.pruned} entries are in ${archive}; the trail begins behind seq ${report.checkpoint.seq}`,
        );
      });
    });
}

function gathered(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/** Reads what the options name; a file that is no checkpoint, or not signed, is refused before anything else. */
async function trustOf({ checkpoint, key }: Pick<VerifyOptions, "checkpoint" | "key">): Promise<Required<Trust>> {
  const { parseCheckpoints, publicKeyOf } = await import("../governance/checkpoint.ts");
  const { readText } = await import("../governance/files.ts");
  const keys = await Promise.all(key.map(async (path) => publicKeyOf(await readText(path))));
  const checkpoints = await Promise.all(checkpoint.map(async (path) => parseCheckpoints(await readText(path), keys)));
  return { checkpoints: checkpoints.flat(), keys };
}

/** Prints what was found, and ends with 3 where the trail is not right. */
function tellVerdict(output: Output, verdict: TrailVerdict): void {
  output.data(verdict);
  for (const line of verdictLines(verdict)) output.text(line);
  if (!verdict.ok) process.exitCode = exitCodes.checksFailed;
}

function verdictLines(verdict: TrailVerdict): string[] {
  const { unchained, checkpoints, trusted } = verdict;
  const last = checkpoints.at(-1);
  return [
    chainLine(verdict),
    ...(unchained.entries === 0
      ? []
      : [`  ${unchained.entries} entries wait to be chained, the oldest since ${unchained.oldestAt ?? "?"}`]),
    last === undefined
      ? "  compared with no checkpoint: a tail that was cut off, or a trail computed anew, would not be seen"
      : `  agrees with ${checkpoints.length} ${checkpoints.length === 1 ? "checkpoint" : "checkpoints"} up to seq ${last.seq} of ${last.time}, signed by ${last.key}`,
    ...(last === undefined || trusted ? [] : ["  nobody said which key is the right one; give it with --key"]),
  ].filter((line) => verdict.ok || !line.startsWith("  agrees"));
}

function chainLine({ base, head, fault }: ChainVerdict): string {
  if (fault !== null) return colors.red(`seq ${fault.seq} ${fault.kind}: ${fault.message}`);
  if (head.seq === base.seq) return "the trail is empty";
  const first = base.seq + 1;
  const whole =
    first === head.seq ? `seq ${first} is as it was chained` : `seq ${first} to ${head.seq} are as they were chained`;
  return colors.green(`${whole}; head ${head.hash.slice(0, 16)}`);
}

function logLines(entries: readonly LogEntry[]): string[] {
  if (entries.length === 0) return ["there are no such entries"];
  return table(
    ["seq", "at", "actor", "act", "backfill", "dataset", "reason"],
    entries.map(({ seq, at, actor, act, backfill, dataset, reason }) => [
      seq === null ? "-" : String(seq),
      `${at.slice(0, 19)}Z`,
      actor,
      act,
      backfill ?? "",
      dataset ?? "",
      reason ?? "",
    ]),
  );
}
