/** How deep a body may be nested. What walks over it later may then be recursive. */
import type { RequestHandler } from "express";
import { RederiveError } from "../errors.ts";

const deepest = 32;

/** Answers 400 where objects and arrays are nested deeper. The body itself is the first level. */
export const notTooDeep: RequestHandler = (request, _response, next) => {
  if (isDeeperThan(deepest, request.body as unknown)) {
    next(new RederiveError("usage", `the body is nested deeper than ${deepest} levels; send it flatter`));
  } else next();
};

/** Level by level, so that depth costs no stack. */
function isDeeperThan(levels: number, value: unknown): boolean {
  let level = nested([value]);
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth === levels) return true;
    level = nested(level.flatMap((each) => Object.values(each) as unknown[]));
  }
  return false;
}

function nested(values: readonly unknown[]): object[] {
  return values.filter((value): value is object => typeof value === "object" && value !== null);
}
