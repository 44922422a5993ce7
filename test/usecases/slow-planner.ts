/** A planner in a process of its own, whose looks at live data are slow enough to be killed in the middle. */
import { sql } from "drizzle-orm";
import { check, createRederive } from "rederive";
import { shop } from "./shop.ts";

const slow = check.query("slow", sql`select 1 from (select pg_sleep(0.5)::text as slept) s where slept <> ''`);
const catalog = shop({ revenue: { checks: [slow], validate: { every: "1s" } } });
const rederive = await createRederive({ catalog, databaseUrl: process.env["DATABASE_URL"], environment: "test" });
rederive.startPlanner();
