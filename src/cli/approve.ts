/** `rederive approve`, `request-changes`, `comment`, `withdraw` and `approvals`: what people say of a plan. */
import { type Command, Option } from "commander";
import type { Backfill } from "../backfill.ts";
import { RederiveError } from "../errors.ts";
import type { ApprovalEntry, Approvals } from "../report.ts";
import { reasonOf } from "./control.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface ApproveOptions extends CommonOptions {
  readonly act: "start" | "promote" | "rollback";
  readonly diff?: string;
  readonly comment?: string;
  readonly reason?: string;
}

export function addApprove(program: Command): void {
  say(program, "approve", "agree to a plan, to its promotion or to a rollback over later writes", (backfill, options) =>
    backfill.approve({ act: options.act, digest: options.diff, comment: options.comment }),
  )
    .addOption(new Option("--act <act>", "what is approved").choices(["start", "promote", "rollback"]).default("start"))
    .option("--diff <digest>", "of the diff that was looked at, or of what a rollback was refused for")
    .option("--comment <text>", "what to remember about it");
  say(program, "request-changes", "ask for another plan; this one does not start meanwhile", (backfill, options) =>
    backfill.requestChanges({ comment: commentOf(options) }),
  ).option("--comment <text>", "what should change");
  say(program, "comment", "say something about a plan", (backfill, options) =>
    backfill.comment({ comment: commentOf(options) }),
  ).option("--comment <text>", "what to say");
  say(program, "withdraw", "take back what you approved or asked for", (backfill, options) =>
    backfill.withdraw({ reason: reasonOf(options) }),
  ).option("--reason <text>", "why; it goes into the audit trail");
  say(program, "approvals", "show what was said of a plan, what counts, and what is needed", (backfill) =>
    backfill.approvals(),
  );
}

function say(
  program: Command,
  name: string,
  description: string,
  run: (backfill: Backfill, options: ApproveOptions) => Promise<Approvals>,
): Command {
  return program
    .command(name)
    .description(description)
    .argument("<backfill>")
    .action(async (id: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ApproveOptions>();
      await withRederive(options, async ({ acting, output }) => {
        const approvals = await run(await acting.backfill(id), options);
        output.data(approvals);
        for (const line of approvalLines(approvals)) output.text(line);
      });
    });
}

function approvalLines({ backfill, requestedBy, needed, entries }: Approvals): string[] {
  const rows = entries.map((entry) => [entry.at.slice(0, 16), entry.approver, verdictOf(entry), entry.comment ?? ""]);
  return [
    `${backfill}, asked for by ${requestedBy}`,
    `needs ${needed.start} to start, ${needed.promote} to promote${needed.signOff.length === 0 ? "" : `, and ${needed.signOff.join(", ")}`}`,
    ...(rows.length === 0 ? [] : table(["when (UTC)", "who", "said", "comment"], rows)),
  ];
}

function verdictOf({ verdict, act, void: because }: ApprovalEntry): string {
  const said = verdict === "approved" ? `approved: ${act}` : verdict.replace("_", " ");
  return because === undefined ? said : `${said} (does not count: ${because.replaceAll("_", " ")})`;
}

function commentOf({ comment }: ApproveOptions): string {
  if (comment === undefined) throw new RederiveError("usage", 'say it: --comment "the window is a day too short"');
  return comment;
}
