/** `rederive status`: one backfill, or the latest ones. */
import type { Command } from "commander";
import { latenessText } from "../planner/pace.ts";
import { foundText } from "../planner/phases.ts";
import type { LiveValidation, PhaseStatus, RunEvent, Status } from "../report.ts";
import type { AuditLag } from "../store/audit-chain.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { colors, table } from "./output.ts";

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("show how far a backfill is; without an id, list the latest")
    .argument("[backfill]")
    .action(async (id: string | undefined, _options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), async ({ acting, output }) => {
        if (id === undefined) {
          const backfills = await acting.backfills();
          const audit = await acting.auditLag();
          output.data({ backfills, audit });
          for (const line of listLines(backfills)) output.text(line);
          for (const line of lagLines(audit)) output.text(line);
          for (const line of (await acting.validation()).flatMap(liveLines)) output.text(line);
          return;
        }
        const status = await (await acting.backfill(id)).status();
        output.data(status);
        for (const line of statusLines(status)) output.text(line);
      });
    });
}

/** Nobody chains the audit trail while no planner runs; that is worth a line only where it lasts. */
function lagLines({ unchained, oldestSeconds }: AuditLag): string[] {
  if (oldestSeconds < 60) return [];
  return [
    colors.yellow(
      `${unchained} audit entries wait to be chained, one for ${Math.floor(oldestSeconds)} s; is there a planner?`,
    ),
  ];
}

function listLines(backfills: readonly Status[]): string[] {
  if (backfills.length === 0) return ['there is no backfill yet; make one with: rederive plan --reason "…"'];
  return table(
    ["backfill", "state", "done", "tasks", "seconds", "reason"],
    backfills.map((status) => [
      status.backfill,
      status.state,
      status.tasks.done + status.tasks.unchanged,
      status.total,
      status.seconds,
      status.reason,
    ]),
  );
}

/** Live data that its schedule has found wrong; nothing where all is well. */
function liveLines({ dataset, failing, error, startedAt }: LiveValidation): string[] {
  const asked = `rederive check --scheduled --dataset ${dataset}`;
  if (error !== null) return [`${colors.yellow("live")} ${dataset} could not be checked at ${startedAt}: ${asked}`];
  if (failing === null || failing === 0) return [];
  return [`${colors.red("live")} ${dataset}: ${failing} ${failing === 1 ? "check fails" : "checks fail"}: ${asked}`];
}

/** A status as lines for people. */
export function statusLines(status: Status): string[] {
  const { deadline } = status;
  const lines = [
    `${colors.bold(status.backfill)} ${stateText(status.state)}${status.stateReason === null ? "" : `: ${status.stateReason}`}`,
    `  ${status.reason} (asked for by ${status.requestedBy}), ${status.seconds.toFixed(1)} s, ${status.workers} worker${status.workers === 1 ? "" : "s"} alive`,
    ...(deadline?.late === undefined ? [] : [`  ${colors.yellow(latenessText(deadline.at, deadline.late))}`]),
    ...datasetLines(status),
    ...phaseLines(status),
  ];
  for (const trouble of status.troubles.slice(0, 10)) {
    lines.push(`  ${colors.red(trouble.state)} ${trouble.dataset} ${trouble.partition}: ${trouble.error.message}`);
  }
  for (const check of status.failedChecks.slice(0, 10)) {
    const where = check.partition === null ? "" : ` ${check.partition}`;
    lines.push(
      `  ${check.severity === "error" ? colors.red("check") : colors.yellow("warning")} ${check.dataset}${where} ${check.name}: ${check.evidence.message} (${check.failures})`,
    );
  }
  return [...lines, ...nextSteps(status)];
}

/** What was unchanged has a column of its own where there is any. */
function datasetLines({ datasets, tasks: { unchanged } }: Status): string[] {
  const shown = <Cell>(cell: Cell) => (unchanged > 0 ? [cell] : []);
  return table(
    ["  dataset", "done", ...shown("unchanged"), "running", "left", "failed", "rows"],
    datasets.map(({ dataset, tasks, held, rows }) => [
      `  ${dataset}${held ? " (held)" : ""}`,
      tasks.done,
      ...shown(tasks.unchanged),
      tasks.running,
      tasks.waiting + tasks.ready + tasks.stale,
      tasks.failed + tasks.quarantined,
      rows,
    ]),
  );
}

/** How far a backfill has widened, and what was found on the way. */
function phaseLines({ phases = [] }: Status): string[] {
  if (phases.length === 0) return [];
  const found = (phase: PhaseStatus) => (phase.found === null ? "" : foundText(phase.found));
  const rows = phases.map((phase) => [`  ${phase.name}`, phase.tasks, phaseStateText(phase), found(phase)]);
  return table(["  phase", "tasks", "state", "differs from what is live"], rows);
}

function phaseStateText({ state, gate, passedBy }: PhaseStatus): string {
  if (state === "judged") return colors.yellow("waits for approval");
  if (state === "passed") return colors.green(passedBy === "planner" ? "passed" : `approved by ${passedBy}`);
  if (state === "open") return "at work";
  return gate === "approval" ? "waiting, then approval" : "waiting";
}

/** What a person may do now. */
function nextSteps(status: Status): string[] {
  const id = status.backfill;
  const waiting = status.phases?.find(({ state }) => state === "judged");
  switch (status.state) {
    case "planned":
    case "approved":
      return [`  next: rederive run ${id}`];
    case "held":
      if (waiting !== undefined) {
        return [
          `  next: rederive diff ${id}, then rederive resume ${id} --phase ${waiting.name} --reason "…", or cancel`,
        ];
      }
      return [
        `  next: rederive resume ${id} (accept), rederive retry ${id} (compute again) or rederive cancel ${id}, with --reason "…"`,
      ];
    case "paused":
      return [`  next: rederive resume ${id} --reason "…"`];
    case "verified":
      return [`  next: rederive diff ${id}, then rederive promote ${id} --reason "…"`];
    case "promoted":
      return [`  undo with: rederive rollback ${id} --reason "…"`];
    case "running":
    case "promoting":
    case "finalized":
    case "rolled_back":
    case "cancelled":
    case "failed":
      return [];
  }
}

export function progressLine(event: Extract<RunEvent, { event: "progress" }>): string {
  const settled = event.tasks.done + event.tasks.unchanged;
  const percent = event.total === 0 ? 100 : Math.floor((settled / event.total) * 100);
  const troubled = event.tasks.failed + event.tasks.quarantined;
  return [
    `${event.backfill} ${event.state} ${percent}%`,
    `${settled.toLocaleString("en-US")}/${event.total.toLocaleString("en-US")} tasks`,
    `${event.tasks.running} running`,
    `${event.rows.toLocaleString("en-US")} rows`,
    ...(troubled > 0 ? [`${troubled} failed`] : []),
    `${event.seconds.toFixed(1)} s`,
  ].join(" · ");
}

function stateText(state: Status["state"]): string {
  if (state === "verified" || state === "promoted" || state === "finalized") return colors.green(state);
  if (state === "held" || state === "failed" || state === "cancelled") return colors.red(state);
  return state;
}
