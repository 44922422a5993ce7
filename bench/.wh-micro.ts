import { bigint, boolean, date, integer, pgTable, text } from "drizzle-orm/pg-core";
import { rowDecoder } from "/work/main/src/warehouse/decode.ts";
import { rowEncoder } from "/work/main/src/warehouse/encode.ts";

const facts = pgTable("bf_facts", {
  id: bigint("id", { mode: "number" }).notNull(),
  day: date("day"),
  delay: integer("delay"),
  late: boolean("late"),
  distance: integer("distance"),
  route: text("route"),
});
const id = (c: any) => (v: unknown) => c.mapFromDriverValue(v);
const fields = [
  ["id", facts.id],
  ["at", facts.day],
  ["delay", facts.delay],
  ["distance", facts.distance],
  ["origin", facts.route],
  ["destination", facts.route],
].map(([name, c]: any) => ({ name, decode: id(c) }));
const types = [20, 1184, 23, 23, 25, 25].map((typeId, i) => ({ name: String(i), typeId }));
const enc = rowEncoder({
  name: "x",
  table: facts,
  owned: [facts.id, facts.day, facts.delay, facts.late, facts.distance, facts.route],
} as any);
let src = "";
for (let i = 0; i < 1200; i++)
  src += `${i}\t2001-01-01 00:00:0${i % 10}+00\t${(i % 100) - 30}\t${100 + i}\tA${i % 200}\tB${i % 211}\n`;
const chunk = Buffer.from(src);
const map = (r: any) => ({
  id: r.id,
  day: r.at.slice(0, 10),
  delay: r.delay,
  late: r.delay > 15,
  distance: r.distance,
  route: `${r.origin}-${r.destination}`,
});
for (const mode of ["decode", "decode+map", "all", "all+bytes"])
  for (let k = 0; k < 3; k++) {
    const d = rowDecoder(fields, types);
    let sink = 0;
    const c0 = process.cpuUsage();
    for (let i = 0; i < 400; i++) {
      let out = "";
      d.decode(chunk, (r) => {
        if (mode === "decode") sink++;
        else {
          const m = map(r);
          if (mode === "decode+map") sink += m.distance;
          else out += enc(m);
        }
      });
      if (mode === "all+bytes") sink += Buffer.from(out).length;
      else sink += out.length;
    }
    const c = process.cpuUsage(c0);
    if (k === 2) console.log(mode, ((c.user + c.system) / (400 * 1200)).toFixed(3), "us/row");
  }
