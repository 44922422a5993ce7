/** `rederive token`: API tokens for the server. */
import { type Command, Option } from "commander";
import { type Role, roles } from "../governance/roles.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface TokenOptions extends CommonOptions {
  readonly role: Role;
  readonly expires?: string;
  readonly person?: string;
  readonly groups?: string;
}

export function addToken(program: Command): void {
  const token = program.command("token").description("API tokens; only their hash is stored");
  token
    .command("create")
    .description("make a token and show it once")
    .argument("<name>", "whom or what it is for")
    .addOption(new Option("--role <role>").choices(roles).default("viewer"))
    .option("--person <name>", "whose it is, where the token is called otherwise")
    .option(
      "--groups <names>",
      "owner groups that the person speaks for and, as viewer or operator, sees; comma-separated; default: all",
    )
    .option("--expires <instant>", "ISO instant after which it is refused")
    .action(async (name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<TokenOptions>();
      await withRederive(
        options,
        async ({ acting, output }) => {
          const issued = await acting.createToken({
            name,
            role: options.role,
            person: options.person,
            groups: options.groups?.split(",").map((group) => group.trim()),
            expiresAt: options.expires,
          });
          output.data(issued);
          output.text(issued.token);
          output.note(`token ${issued.id} for ${name} (${options.role}); it cannot be shown again`);
        },
        { first: options.role === "admin" },
      );
    });
  token
    .command("list")
    .description("all tokens, without their secrets")
    .action(async (_options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), async ({ acting, output }) => {
        const tokens = await acting.tokens();
        output.data({ tokens });
        const rows = tokens.map((row) => [
          row.id,
          row.name,
          row.person,
          row.role,
          row.prefix,
          row.revokedAt === null ? "valid" : "revoked",
        ]);
        for (const line of table(["id", "name", "person", "role", "prefix", "state"], rows)) output.text(line);
      });
    });
  token
    .command("revoke")
    .description("refuse a token from now on")
    .argument("<id>")
    .action(async (id: string, _options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), async ({ acting, output }) => {
        const revoked = await acting.revokeToken(id);
        output.data(revoked);
        output.text(`token ${revoked.id} (${revoked.name}) is revoked`);
      });
    });
}
