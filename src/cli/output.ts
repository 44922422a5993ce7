/** Data goes to stdout, and with --json nothing else does; progress and notes go to stderr. */
import pc from "picocolors";

/** Colours on a terminal alone, and not where NO_COLOR is set; CI systems set variables that would colour a pipe. */
export const colors = pc.createColors(pc.isColorSupported && process.stdout.isTTY === true);

export interface Output {
  readonly json: boolean;
  /** One JSON object on a line, with --json only. */
  data(value: unknown): void;
  /** Text for people on stdout, without --json only. */
  text(line: string): void;
  /** A note on stderr, always. */
  note(line: string): void;
  /** A line on stderr that replaces the one before on a terminal, and is written now and then elsewhere. */
  progress(line: string): void;
  /** Ends a line of progress. */
  endProgress(): void;
}

const quietMs = 2_000;

/**
 * A reader that has seen enough (`rederive status | head`) closes the pipe. What is still to be said then goes nowhere,
 * and the command goes on to its end: its work does not depend on who listens.
 */
export function outliveReaders(streams: readonly NodeJS.WriteStream[]): void {
  for (const stream of streams) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}

export function createOutput(json: boolean): Output {
  let open = false;
  let last = 0;
  const endProgress = (): void => {
    if (open) process.stderr.write("\n");
    open = false;
  };
  return {
    json,
    data: (value) => {
      if (json) process.stdout.write(`${JSON.stringify(value)}\n`);
    },
    text: (line) => {
      endProgress();
      if (!json) process.stdout.write(`${line}\n`);
    },
    note: (line) => {
      endProgress();
      process.stderr.write(`${line}\n`);
    },
    progress: (line) => {
      if (process.stderr.isTTY) {
        process.stderr.write(`\r\u001b[2K${line}`);
        open = true;
      } else if (Date.now() - last >= quietMs) {
        last = Date.now();
        process.stderr.write(`${line}\n`);
      }
    },
    endProgress,
  };
}

/** Rows as aligned columns; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en-US") : cell)));
  const widths = header.map((name, index) => Math.max(name.length, ...cells.map((row) => (row[index] ?? "").length)));
  const numeric = header.map((_, index) => rows.length > 0 && rows.every((row) => typeof row[index] === "number"));
  const line = (row: readonly string[]) =>
    row
      .map((cell, index) => (numeric[index] ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0)))
      .join("  ")
      .trimEnd();
  return [colors.bold(line(header)), ...cells.map(line)];
}
