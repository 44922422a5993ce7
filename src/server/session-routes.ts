/** The route by which a page learns who is logged in, and what it needs to change something. */
import { z } from "zod";
import { roles } from "../governance/roles.ts";
import { components, noFields } from "./requests.ts";
import { instant } from "./responses.ts";
import { type Route, route } from "./route.ts";

const session = z
  .object({
    name: z.string(),
    person: z.string(),
    role: z.enum(roles),
    groups: z.array(z.string()).nullable().describe("Owner groups that the person speaks for; null for all"),
    login: z
      .object({
        csrf: z.string().describe("Value of the header X-CSRF-Token of requests that change something"),
        expiresAt: instant,
      })
      .nullable()
      .describe("Null for who came with a token"),
  })
  .register(components, { id: "Session" });

export const sessionRoutes: readonly Route[] = [
  route({
    operation: "getSession",
    method: "get",
    at: "/session",
    useCase: "session.read",
    summary: "Who sends this request, and what a browser needs to change something",
    path: noFields,
    query: noFields,
    body: noFields,
    answer: session,
    run: ({ actor: { name, person, role, groups }, session: found }) => ({
      ...{ name, person: person ?? name, role, groups: groups === undefined ? null : [...groups] },
      login: found === undefined ? null : { csrf: found.csrf, expiresAt: found.expiresAt },
    }),
  }),
];
