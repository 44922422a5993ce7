/**
 * Imports go one way. Each level may import the levels before it and, inside its own folder, itself; folders on the
 * same level do not import one another.
 */
const levels = [
  ["chunks", "errors", "hash", "states", "tx", "report", "suggest"],
  ["catalog"],
  ["plan", "config", "map-code"],
  ["store", "warehouse", "telemetry", "embedded"],
  ["planner", "validation", "lineage", "replay"],
  ["lock-file", "executor", "promotion", "governance"],
  ["usecases"],
  ["backfill", "audit"],
  ["acting"],
  ["rederive"],
  ["index"],
  ["server", "testing"],
  ["cli"],
];

const pathOf = (name) => `^src/${name}(/|\\.ts$)`;

const direction = levels.flatMap((names, level) =>
  names.flatMap((name) => {
    const forbidden = [...names.filter((other) => other !== name && level > 1), ...levels.slice(level + 1).flat()];
    // A rule without paths would forbid everything.
    if (forbidden.length === 0) return [];
    return {
      name: `imports-of-${name}`,
      comment: `${name} may import only what is below it`,
      severity: "error",
      from: { path: pathOf(name) },
      to: { path: forbidden.map(pathOf) },
    };
  }),
);

export default {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-unresolvable",
      comment: "✖ is a package whose types have an empty main, as those of pg-copy-streams do; others keep their name",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "^✖$" },
    },
    {
      name: "environment-in-config-only",
      comment: "tests and examples may use anything; src must not import them",
      severity: "error",
      from: { path: "^src" },
      to: { path: "^(test|examples|bench)/" },
    },
    ...direction,
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
    },
  },
};
