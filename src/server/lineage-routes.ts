/** Routes about lineage: what was computed from what, and how the data behind an exposure is. */
import { parseKey } from "../lineage/rows.ts";
import * as accept from "./lineage-requests.ts";
import * as answer from "./lineage-responses.ts";
import { noFields } from "./requests.ts";
import { type Route, route } from "./route.ts";

export const lineageRoutes: readonly Route[] = [
  route({
    operation: "getLineage",
    method: "get",
    at: "/lineage/:dataset",
    useCase: "lineage.read",
    summary: "What a dataset or one of its partitions was computed from, and what was computed from it",
    path: accept.lineagePath,
    query: accept.lineageQuery,
    body: noFields,
    answer: answer.lineage,
    run: ({ rederive, actor, path, query }) => rederive.as(actor).lineage({ ...path, ...query }),
  }),
  route({
    operation: "getColumnLineage",
    method: "get",
    at: "/lineage/:dataset/columns",
    useCase: "lineage.read",
    summary: "From which columns of its inputs, and of the sources, each column of a dataset comes",
    path: accept.lineagePath,
    query: noFields,
    body: noFields,
    answer: answer.columns,
    run: ({ rederive, actor, path }) => rederive.as(actor).lineageColumns(path.dataset),
  }),
  route({
    operation: "getRowLineage",
    method: "get",
    at: "/lineage/:dataset/row",
    useCase: "lineage.rows",
    summary: "The input rows that one row was computed from, exactly or among a stated superset",
    path: accept.lineagePath,
    query: accept.rowQuery,
    body: noFields,
    answer: answer.rowLineage,
    run: ({ rederive, actor, path, query: { key, rows } }) =>
      rederive.as(actor).lineageRow({ ...path, key: parseKey(key), ...(rows === undefined ? {} : { rows }) }),
  }),
  route({
    operation: "getExposure",
    method: "get",
    at: "/exposures/:name",
    useCase: "exposure.read",
    summary: "Whether the data behind an exposure is fresh, recomputing, held or diverged, and as of when",
    path: accept.exposurePath,
    query: noFields,
    body: noFields,
    answer: answer.exposureStatus,
    run: ({ rederive, actor, path }) => rederive.as(actor).exposure(path.name),
  }),
];
