/** How the demo talks: numbered chapters, short lines with what they took, and one line of progress. */
import pc from "picocolors";

export interface Story {
  chapter(title: string): void;
  line(text: string): void;
  /** Runs `work` and then writes `text` with the seconds that it took. */
  timed<Result>(text: string | ((result: Result) => string), work: () => Promise<Result>): Promise<Result>;
  /** Replaced by the next line on a terminal; written every few seconds elsewhere. */
  progress(text: string): void;
}

/** Where nobody watches, a line this often is enough. */
const quietMs = 5_000;
const width = 100;

export function createStory(stream: NodeJS.WriteStream): Story {
  let chapters = 0;
  let lastMs = performance.now();
  let open = false;
  const write = (text: string): void => {
    if (open) stream.write("\r\u001b[2K");
    open = false;
    stream.write(`${text}\n`);
  };
  return {
    chapter: (title) => {
      chapters += 1;
      write(`\n${pc.bold(`${chapters}. ${title}`)}`);
    },
    line: (text) => write(text === "" ? "" : `   ${text}`),
    timed: async (text, work) => {
      const started = performance.now();
      const result = await work();
      const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`;
      const words = typeof text === "string" ? text : text(result);
      write(`   ${words}${pc.dim(seconds.padStart(Math.max(width - words.length, seconds.length + 2)))}`);
      return result;
    },
    progress: (text) => {
      if (stream.isTTY) {
        stream.write(`\r\u001b[2K   ${text}`);
        open = true;
      } else if (performance.now() - lastMs >= quietMs) {
        lastMs = performance.now();
        stream.write(`   ${text}\n`);
      }
    },
  };
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** `1 row`, `2 rows`, `2 processes`. */
export function plural(value: number, noun: string): string {
  const ending = noun.endsWith("s") ? "es" : "s";
  return `${count(value)} ${noun}${value === 1 ? "" : ending}`;
}

/** Columns of text, the first to the left and the others to the right. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
