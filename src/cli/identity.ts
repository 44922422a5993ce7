/** `rederive identity`: people whom an OpenID issuer vouched for. */
import type { Command } from "commander";
import { reasonOf } from "./control.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface ActOptions extends CommonOptions {
  readonly reason?: string;
}

export function addIdentity(program: Command): void {
  const identity = program.command("identity").description("people of the OpenID issuer: list them, or shut one out");
  identity
    .command("list")
    .description("everybody who has come, with the role of the last time")
    .action(async (_options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), async ({ acting, output }) => {
        const identities = await acting.identities();
        output.data({ identities });
        const rows = identities.map(({ person, role, seenAt, disabledAt }) => [
          person,
          role ?? "none",
          seenAt,
          disabledAt === null ? "" : `disabled since ${disabledAt}`,
        ]);
        for (const line of table(["person", "role", "last seen", ""], rows)) output.text(line);
      });
    });
  addAct(
    identity,
    "disable",
    "refuse their tokens and sessions from now on; what they approved does not count any more",
  );
  addAct(identity, "enable", "let them in again, with the role that the issuer says");
}

function addAct(identity: Command, act: "disable" | "enable", description: string): void {
  identity
    .command(act)
    .description(description)
    .argument("<person>")
    .option("--reason <text>", "why; it goes into the audit trail")
    .action(async (person: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ActOptions>();
      const choice = { person, reason: reasonOf(options) };
      await withRederive(options, async ({ acting, output }) => {
        const changed = await (act === "disable" ? acting.disableIdentity(choice) : acting.enableIdentity(choice));
        output.data(changed);
        output.text(`${person} is ${act}d`);
      });
    });
}
