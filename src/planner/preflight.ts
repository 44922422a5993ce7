/** What a preflight found, as lines for people and as the refusal to go on. Pure. */
import { RederiveError } from "../errors.ts";
import type { Preflight, PreflightFinding } from "../report.ts";

/** `orders has no rows …: 2 of 31 partitions; load them first [missing_partitions]`. */
export function findingText({ code, what, seen, mitigation }: PreflightFinding): string {
  return `${what}: ${seen}; ${mitigation} [${code}]`;
}

/** Those that stop come first. */
export function bySeverity(findings: readonly PreflightFinding[]): PreflightFinding[] {
  return [...findings].sort((a, b) => Number(b.severity === "stop") - Number(a.severity === "stop"));
}

/** What was looked at, as one line; none where nothing was. */
export function lookedTexts({ looked, findings }: Preflight): string[] {
  const result = findings.length === 0 ? "nothing found" : `${findings.length} found`;
  return looked.length === 0 ? [] : [`Preflight, ${result}; looked at ${looked.join("; ")}.`];
}

/** Throws `plan_refused` with all findings that stop. */
export function refuseStopped(findings: readonly PreflightFinding[], what: string): void {
  const stops = findings.filter(({ severity }) => severity === "stop");
  if (stops.length === 0) return;
  const list =
    stops.length === 1
      ? ` ${findingText(stops[0] as PreflightFinding)}`
      : `\n${stops.map((each) => `- ${findingText(each)}`).join("\n")}`;
  throw new RederiveError("plan_refused", `${what}:${list}`, { details: { findings: stops } });
}
