/**
 * Gathers the evidence of a backfill: plan, approvals, stamps, checks, differences, restore points and its slice of the
 * audit trail, in one snapshot. What is written is what was recorded; of live rows there are the masked samples alone.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isRederiveError } from "../errors.ts";
import { chainName, type Manifest, type ManifestHead, makeBundle, planName } from "../governance/bundle.ts";
import { genesis, type Position } from "../governance/chain.ts";
import { writeNewFile } from "../governance/files.ts";
import { type ReportTable, reportPage } from "../governance/report-page.ts";
import { chainIfAllowed } from "../governance/sequencer.ts";
import { type Column, type Row, writeTable } from "../governance/tables.ts";
import { basisOf, trailLines } from "../governance/trail.ts";
import type { Approvals, DatasetDiff } from "../report.ts";
import { type BackfillRow, decisionOf } from "../store/backfills.ts";
import { type EvidenceTable, evidencePage, firstSeq, linkAt, stampSums } from "../store/evidence.ts";
import { readRestorePoints } from "../store/restore-points.ts";
import type { Tx } from "../tx.ts";
import { approvals } from "./approval.ts";
import { signerFrom, signing } from "./audit.ts";
import { type Context, requireBackfill } from "./context.ts";
import { diff } from "./publish.ts";

export interface EvidenceInput {
  readonly backfill: string;
  /** A directory or archive (.tar.gz) that does not exist yet. */
  readonly out: string;
  /** Ends it, with nothing left at `out`; it throws the signal's reason then. */
  readonly signal?: AbortSignal;
}

/** Rows a page and rows that the readable report shows of a table. */
const pageRows = 2_000;
const rowsShown = 500;
const samplesShown = 20;

const integer = (name: string): Column => ({ name, type: "integer" });
const json = (name: string): Column => ({ name, type: "json" });
const text = (name: string): Column => ({ name });

const recorded: Readonly<Record<EvidenceTable, readonly Column[]>> = {
  stamps: [
    ...[integer("id"), text("dataset"), integer("partition"), integer("task"), integer("epoch")],
    ...[text("fingerprint"), text("definition"), json("inputs"), integer("rowsRead"), integer("rowsWritten")],
    ...[text("hashAlgorithm"), text("outputHash"), json("checks"), text("worker"), text("traceId")],
    ...[text("startedAt"), text("finishedAt"), integer("adoptedFrom")],
  ],
  checks: [
    ...[integer("id"), text("dataset"), integer("partition"), text("name"), text("severity"), integer("failures")],
    ...[json("evidence"), text("createdAt")],
  ],
  audit: [
    ...[integer("id"), integer("seq"), text("at"), text("actor"), text("act"), text("backfill"), text("dataset")],
    ...[text("reason"), text("planHash"), json("details")],
  ],
};

/** What cannot be read in the snapshot of the rest: asked before it. */
interface Asked {
  readonly approvals: Approvals;
  /** Null where there is nothing beside live any more; then the counts of the promotion are in the restore points. */
  readonly differences: readonly DatasetDiff[] | null;
}

/** Throws `not_found`, or `usage` where something is at `out`. */
export async function exportEvidence(context: Context, { backfill, out, signal }: EvidenceInput): Promise<Manifest> {
  await requireBackfill(context.database, backfill);
  await chainIfAllowed(context.database);
  signal?.throwIfAborted();
  const asked: Asked = {
    approvals: await approvals(context, backfill),
    differences: await differencesOf(context, backfill),
  };
  return makeBundle(out, signerFrom(), (directory) =>
    context.database.transaction((tx) => fill({ context, tx, directory, signal }, backfill, asked), {
      isolation: "repeatable read",
    }),
  );
}

async function differencesOf(context: Context, backfill: string): Promise<Asked["differences"]> {
  try {
    return (await diff(context, backfill, { samples: samplesShown })).datasets;
  } catch (error) {
    if (isRederiveError(error)) return null;
    throw error;
  }
}

interface Filling {
  readonly context: Context;
  readonly tx: Tx;
  readonly directory: string;
  readonly signal: AbortSignal | undefined;
}

async function fill({ context, tx, directory, signal }: Filling, id: string, asked: Asked): Promise<ManifestHead> {
  const row = await requireBackfill(tx, id);
  const head = {
    backfill: id,
    planHash: row.planHash,
    createdAt: new Date().toISOString(),
    createdBy: context.actor.name,
  };
  const { decision: _decision, ...told } = row;
  await writeJson(directory, planName, { ...told, decision: decisionOf(row) });
  await writeJson(directory, "differences.json", asked.differences);
  for (const [name, columns] of Object.entries(recorded) as [EvidenceTable, readonly Column[]][]) {
    await writeTable(directory, { name, columns, pages: whileWanted(signal, pagesOf(tx, name, id)) });
  }
  await writeTable(directory, {
    name: "approvals",
    columns: approvalColumns,
    pages: [asked.approvals.entries.map(asRow)],
  });
  const points = await readRestorePoints(tx, id);
  await writeTable(directory, { name: "restore-points", columns: pointColumns, pages: [points.map(asRow)] });
  await writeNewFile(join(directory, chainName), whileWanted(signal, await chainLines(tx, id)));
  const page = await report(tx, row, asked, head);
  await writeFile(join(directory, "report.html"), page, { flag: "wx", mode: 0o600 });
  return head;
}

const approvalColumns: readonly Column[] = [
  ...[text("at"), text("act"), text("verdict"), text("approver"), text("comment"), text("digest"), text("expiresAt")],
  text("void"),
];

const pointColumns: readonly Column[] = [
  ...[
    text("dataset"),
    integer("inserted"),
    integer("updated"),
    integer("deleted"),
    json("wasEmpty"),
    json("writtenBy"),
  ],
];

async function* pagesOf(tx: Tx, table: EvidenceTable, backfill: string): AsyncIterable<readonly Row[]> {
  for (let after = "0"; ; ) {
    const page = await evidencePage(tx, table, { backfill, after, limit: pageRows });
    yield page;
    if (page.length < pageRows) return;
    after = page.at(-1)?.id ?? after;
  }
}

/** Throws the signal's reason instead of going on. */
async function* whileWanted<Item>(signal: AbortSignal | undefined, items: AsyncIterable<Item>): AsyncIterable<Item> {
  for await (const item of items) {
    signal?.throwIfAborted();
    yield item;
  }
  signal?.throwIfAborted();
}

/** From the first entry of the backfill to the head: its own entries whole, of those between them the hashes. */
async function chainLines(tx: Tx, backfill: string): Promise<AsyncIterable<string>> {
  const first = await firstSeq(tx, backfill);
  const sign = signing(signerFrom());
  return trailLines(tx, { base: await baseBefore(tx, first), backfill, sign });
}

async function baseBefore(tx: Tx, first: number | undefined): Promise<Position> {
  const before = first === undefined ? undefined : await linkAt(tx, first - 1);
  return before ?? (await basisOf(tx)) ?? genesis;
}

async function report(tx: Tx, row: BackfillRow, asked: Asked, head: ManifestHead): Promise<string> {
  const { steps } = decisionOf(row);
  const checks = await evidencePage(tx, "checks", { backfill: row.id, after: "0", limit: rowsShown });
  const audit = await evidencePage(tx, "audit", { backfill: row.id, after: "0", limit: rowsShown });
  const points = await readRestorePoints(tx, row.id);
  const sums = await stampSums(tx, row.id);
  const tables: ReportTable[] = [
    table("What was decided", ["dataset", "action", "reason"], steps),
    table("What people said", ["at", "approver", "act", "verdict", "comment", "void"], asked.approvals.entries),
    table("What was computed", ["dataset", "partitions", "rows", "firstAt", "lastAt"], sums),
    table("Checks", ["dataset", "partition", "name", "severity", "failures", "evidence"], checks),
    ...differenceTables(asked.differences),
    table("What can be put back", ["dataset", "inserted", "updated", "deleted"], points),
    table("Audit trail", ["seq", "at", "actor", "act", "dataset", "reason"], audit),
  ];
  return reportPage({
    title: `Evidence of backfill ${row.id}`,
    facts: [
      ["Reason", row.reason],
      ["Asked for by", row.requestedBy],
      ["Environment", row.environment],
      ["State", row.stateReason === null ? row.state : `${row.state}: ${row.stateReason}`],
      ["Planned", row.createdAt],
      ["Started", row.startedAt ?? "not yet"],
      ["Finished", row.finishedAt ?? "not yet"],
      ["Plan hash", row.planHash],
      ["Exported", `${head.createdAt} by ${head.createdBy}`],
    ],
    tables,
    closing: [
      'The files beside this page hold all of it. "rederive audit check-bundle" verifies their hashes, the signature of the manifest and the chain of the audit trail, without a server.',
    ],
  });
}

function differenceTables(differences: Asked["differences"]): ReportTable[] {
  const header = ["dataset", "added", "removed", "changed", "unchanged"];
  if (differences === null) {
    const note = "There is nothing beside live any more; what the promotion wrote is under what can be put back.";
    return [{ title: "What would change", header, rows: [], note }];
  }
  const samples = differences.flatMap(({ dataset, samples: found }) => found.map((sample) => ({ dataset, ...sample })));
  return [
    table("What would change", header, differences),
    table("Samples of it", ["dataset", "kind", "before", "after"], samples),
  ];
}

/** The first rows of a table, with columns by name. */
function table(title: string, header: readonly string[], rows: readonly object[]): ReportTable {
  const cells = rows.slice(0, rowsShown).map((row) => {
    const values = asRow(row);
    return header.map((name) => values[name] ?? null);
  });
  const note = rows.length < rowsShown ? undefined : `The first ${rowsShown}; the rest is in the files.`;
  return { title, header, rows: cells, note };
}

function asRow(value: object): Row {
  const cell = (each: unknown): string | null => {
    if (each === null || each === undefined) return null;
    return typeof each === "string" ? each : JSON.stringify(each);
  };
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, cell(each)]));
}

async function writeJson(directory: string, name: string, value: unknown): Promise<void> {
  await writeFile(join(directory, name), `${JSON.stringify(value, null, 2)}\n`, { flag: "wx", mode: 0o600 });
}
