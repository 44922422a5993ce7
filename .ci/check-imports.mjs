/**
 * Runs dependency-cruiser and fails on a violation, and also where it saw suspiciously few modules: without a parser
 * for this TypeScript it reports "0 modules" and success.
 */
import { spawnSync } from "node:child_process";

const result = spawnSync("npx", ["depcruise", "--config", ".dependency-cruiser.mjs", "--output-type", "json", "src"], {
  encoding: "utf8",
  maxBuffer: 256 * 1024 * 1024,
});
let report;
try {
  report = JSON.parse(result.stdout);
} catch {
  console.error(result.stderr || result.stdout);
  process.exit(1);
}
const modules = report.modules.filter((module) => module.source.startsWith("src/")).length;
const edges = report.modules.reduce((sum, module) => sum + module.dependencies.length, 0);
const violations = report.summary.violations.filter((violation) => violation.rule.severity === "error");
for (const violation of violations) console.error(`${violation.rule.name}: ${violation.from} → ${violation.to}`);
if (modules < 10 || edges < modules) {
  console.error(`import check saw ${modules} modules and ${edges} imports; it cannot parse this TypeScript`);
  process.exit(1);
}
console.log(`imports: ${modules} modules, ${edges} imports, ${violations.length} violations`);
process.exit(violations.length === 0 ? 0 : 1);
