import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { openApiOf } from "../../src/server/openapi.ts";
import { routes } from "../../src/server/routes.ts";

describe("the OpenAPI document", () => {
  const document = JSON.parse(JSON.stringify(openApiOf(routes))) as {
    openapi: string;
    paths: Record<
      string,
      Record<string, { operationId: string; requestBody?: { content: Record<string, { schema: object }> } }>
    >;
    components: { schemas: Record<string, Record<string, unknown>> };
  };

  it("is valid OpenAPI 3.1", async () => {
    const validator = new Validator();
    const result = await validator.validate(structuredClone(document));
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
    expect(validator.version).toBe("3.1");
  });

  it("lists every route and no other", () => {
    const listed = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path.replace(/\{(\w+)\}/g, ":$1")}`),
    );
    expect(listed.sort()).toEqual(routes.map((route) => `${route.method} ${route.at}`).sort());
  });

  it("has a reference for every body, and every reference leads somewhere", () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)];
    expect(references.length).toBeGreaterThan(routes.length);
    for (const [, kind, name] of references) {
      expect(document.components).toHaveProperty([kind as string, name as string]);
    }
  });

  it("says that unknown fields of a body are refused", () => {
    expect(document.components.schemas["PlanRequest"]).toMatchObject({ type: "object", additionalProperties: false });
  });

  it("names each operation once", () => {
    const names = routes.map((route) => route.operation);
    expect(new Set(names).size).toBe(names.length);
  });
});
