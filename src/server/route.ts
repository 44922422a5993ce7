/** One row of the API's table: what it accepts, who may use it, what it does and what it answers. */
import type { z } from "zod";
import type { Actor, UseCase } from "../governance/roles.ts";
import type { Session } from "../governance/sessions.ts";
import type { BackfillPort, RederivePort } from "./port.ts";

export const apiRoot = "/api/v1";

export type Method = "get" | "post" | "put";

/** Parsed input of one request. */
export interface Call<Path, Query, Body> {
  readonly rederive: RederivePort;
  readonly actor: Actor;
  /** Of a browser; undefined where the request came with a token. */
  readonly session: Session | undefined;
  readonly path: Path;
  readonly query: Query;
  readonly body: Body;
}

interface RouteSettings<Path, Query, Body, Answer> {
  readonly operation: string;
  readonly method: Method;
  /** Below /api/v1, with `:name` for parameters. */
  readonly at: string;
  /** Decides the least role (governance/roles.ts). */
  readonly useCase: UseCase;
  readonly summary: string;
  readonly path: z.ZodType<Path>;
  readonly query: z.ZodType<Query>;
  /** Of methods that may change something; the others have none. */
  readonly body: z.ZodType<Body>;
  readonly answer: z.ZodType<Answer>;
  /** Media type of the file that is answered (download.ts). Default: the answer is JSON. */
  readonly produces?: string;
  /** Default 200. */
  readonly status?: 200 | 201;
  readonly run: (call: Call<Path, Query, Body>) => Promise<Answer> | Answer;
  /** Path of the thing that was made, for the Location header of a 201. */
  readonly location?: (result: Answer) => string;
}

/** A route whose types were checked where it was written. */
export interface Route extends Omit<RouteSettings<unknown, unknown, unknown, unknown>, "run" | "location"> {
  readonly run: (call: Call<unknown, unknown, unknown>) => Promise<unknown>;
  readonly location: ((result: unknown) => string) | undefined;
}

/** Checks a route's types against its own schemas, then forgets them: the router parses before it runs. */
export function route<Path, Query, Body, Answer>(settings: RouteSettings<Path, Query, Body, Answer>): Route {
  const { location, run, ...rest } = settings;
  return {
    ...rest,
    run: async (call) => await run(call as Call<Path, Query, Body>),
    location: location && ((result) => location(result as Answer)),
  };
}

/** The backfill that a path names. */
export async function backfillOf({
  rederive,
  actor,
  path,
}: Call<{ id: string }, unknown, unknown>): Promise<BackfillPort> {
  return await rederive.as(actor).backfill(path.id);
}
