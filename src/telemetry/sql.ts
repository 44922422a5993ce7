/**
 * SQL statements as spans. Values never reach a span: parameters are not recorded, and literals inside the text are
 * replaced, because a transform may hold row values or secrets.
 */
import { SpanKind, type Tracer, trace } from "@opentelemetry/api";
import type { Database, Tx } from "../tx.ts";
import { endWithError } from "./spans.ts";

const longestText = 2_000;

// In order: comments, dollar quotes, string literals (also E'', with backslashes), quoted identifiers, numbers.
const lexemes =
  /--[^\n]*|\/\*[\s\S]*?\*\/|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(?<![\w$])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b/g;

/** The statement with every literal replaced by `?`, comments and surplus space removed, cut at 2,000 characters. */
export function sqlWithoutLiterals(text: string): string {
  const bare = text.replace(lexemes, (lexeme) => {
    if (lexeme.startsWith('"')) return lexeme;
    return lexeme.startsWith("--") || lexeme.startsWith("/*") ? " " : "?";
  });
  const compact = bare.replace(/\s+/g, " ").trim();
  return compact.length <= longestText ? compact : `${compact.slice(0, longestText)}…`;
}

/** The first keyword in capitals: the span's name, which must have few values. */
export function sqlKeyword(text: string): string {
  return /[a-z]+/i.exec(text.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, " "))?.[0].toUpperCase() ?? "SQL";
}

/**
 * The same port with a span a statement. It costs nothing worth naming outside a recording span: a statement that
 * belongs to no trace gets no span, so polling loops stay out of the traces.
 */
export function tracedTx(tx: Tx, tracer: Tracer = trace.getTracer("rederive")): Tx {
  return { query: (text, params) => traced(tracer, text, () => tx.query(text, params)) };
}

async function traced<Row>(tracer: Tracer, text: string, run: () => Promise<Row[]>): Promise<Row[]> {
  if (trace.getActiveSpan()?.isRecording() !== true) return await run();
  const keyword = sqlKeyword(text);
  const attributes = {
    "db.system.name": "postgresql",
    "db.operation.name": keyword,
    "db.query.text": sqlWithoutLiterals(text),
  };
  return await tracer.startActiveSpan(keyword, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    try {
      const rows = await run();
      span.setAttribute("db.response.returned_rows", rows.length);
      return rows;
    } catch (error) {
      endWithError(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** What sends several statements at once. */
interface Batching extends Tx {
  queryEach<Row>(text: string): Promise<Row[][]>;
}

/** The same for an object that can do more than query: what sends statements is replaced, everything else stays. */
export function traceQueries<Queried extends Batching>(queried: Queried): Queried {
  const tracer = trace.getTracer("rederive");
  const query = queried.query.bind(queried);
  const queryEach = queried.queryEach.bind(queried);
  const each: Batching["queryEach"] = (text) => traced(tracer, text, () => queryEach(text));
  return Object.assign(queried, tracedTx({ query }), { queryEach: each });
}

/** A pool whose statements, in transactions or not, are spans of the trace that they belong to. */
export function tracedDatabase(database: Database, tracer: Tracer = trace.getTracer("rederive")): Database {
  return {
    ...tracedTx(database, tracer),
    transaction: (work, options) => database.transaction((tx) => work(tracedTx(tx, tracer)), options),
    close: () => database.close(),
  };
}
