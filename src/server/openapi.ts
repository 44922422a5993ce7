/** The OpenAPI 3.1 document, made from the table of routes. OpenAPI 3.1 speaks JSON Schema 2020-12, as zod does. */
import { z } from "zod";
import { leastRole } from "../governance/roles.ts";
import { keyHeader } from "./once.ts";
import { problemKinds } from "./problem.ts";
import { components } from "./requests.ts";
import { problem } from "./responses.ts";
import type { Route } from "./route.ts";
import { csrfHeader } from "./session.ts";
import { cookieName } from "./site.ts";

type Json = Record<string, unknown>;

const schemaRoot = "#/components/schemas/";

export function openApiOf(routes: readonly Route[]): Json {
  return {
    openapi: "3.1.1",
    info: {
      title: "rederive",
      version: "1",
      description: "Plan, run, check, promote and roll back recomputations of derived data.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: ".", description: "Where this document was read from" }],
    security: [{ token: [] }, { session: [], csrf: [] }],
    paths: pathsOf(routes),
    components: {
      securitySchemes: {
        token: {
          ...{ type: "http", scheme: "bearer", bearerFormat: "rdv_<prefix>_<secret> or a JWT" },
          description: "An API token, or an access token of the configured issuer",
        },
        session: {
          ...{ type: "apiKey", in: "cookie", name: cookieName({ origin: "https://" }, "session") },
          description: "A browser in which somebody has logged in; without the prefix where it is not reached over TLS",
        },
        csrf: {
          ...{ type: "apiKey", in: "header", name: csrfHeader },
          description: "With a session, for requests that change something: the value that getSession gives",
        },
      },
      schemas: namedSchemas(),
      responses: { Problem: problemResponse() },
    },
  };
}

function pathsOf(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.at.replace(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method]: operationOf(route) };
  }
  return paths;
}

function operationOf(route: Route): Json {
  const content =
    route.produces === undefined
      ? { "application/json": { schema: referenceTo(route.answer) } }
      : { [route.produces]: {} };
  const ok = { description: route.summary, content };
  return {
    operationId: route.operation,
    summary: route.summary,
    description: `Needs the role ${leastRole[route.useCase]}.`,
    parameters: [
      ...parametersOf(route.path, "path"),
      ...parametersOf(route.query, "query"),
      ...(route.method === "get" ? [] : [idempotencyKey]),
    ],
    ...(route.method === "get"
      ? { security: [{ token: [] }, { session: [] }] }
      : { requestBody: requestBodyOf(route) }),
    responses: { [String(route.status ?? 200)]: ok, default: { $ref: "#/components/responses/Problem" } },
  };
}

const idempotencyKey: Json = {
  name: keyHeader,
  in: "header",
  required: false,
  description:
    "A request that is sent again with its key is carried out once and answered as the first time, for a day",
  schema: { type: "string", minLength: 1, maxLength: 200 },
};

function requestBodyOf(route: Route): Json {
  return { required: true, content: { "application/json": { schema: referenceTo(route.body) } } };
}

function parametersOf(schema: z.ZodType, place: "path" | "query"): Json[] {
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, field]) => ({
    name,
    in: place,
    required: place === "path" || !field.isOptional(),
    schema: inlineSchema(field),
  }));
}

function referenceTo(schema: z.ZodType): Json {
  const id = components.get(schema)?.id;
  return id === undefined ? inlineSchema(schema) : { $ref: `${schemaRoot}${id}` };
}

function namedSchemas(): Json {
  const { schemas } = z.toJSONSchema(components, { io: "input", uri: (id) => `${schemaRoot}${id}` });
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, withoutHeader(schema)]));
}

function inlineSchema(schema: z.ZodType): Json {
  return withoutHeader(z.toJSONSchema(schema, { io: "input" }));
}

/** The dialect and the id are those of the document. */
function withoutHeader(schema: Json): Json {
  const { $schema: _dialect, $id: _id, ...rest } = schema;
  return rest;
}

function problemResponse(): Json {
  const codes = Object.entries(problemKinds).map(([code, kind]) => `${kind.status} ${code}`);
  return {
    description: `A problem document (RFC 9457). Statuses and codes: ${codes.join(", ")}.`,
    content: { "application/problem+json": { schema: referenceTo(problem) } },
  };
}
