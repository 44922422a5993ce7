/** REDERIVE_REQUIRE: what must be there, so that nothing is skipped; for example `redis,chromium`. */
export function requirements(): string[] {
  return (process.env["REDERIVE_REQUIRE"] ?? "").split(",").map((name) => name.trim());
}
