/** Ctrl-C in a command that waits: it stops waiting in order; pressed again, the process ends at once. */

/** Not a failure of rederive: somebody wanted the command to end. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  /** As a shell reports a process that the signal ended. */
  readonly exitCode: number;

  constructor(signal: "SIGINT" | "SIGTERM", message: string) {
    super(message);
    this.exitCode = signal === "SIGINT" ? 130 : 143;
  }
}

/**
 * Runs `work` with a signal that the first SIGINT or SIGTERM aborts; the next one has its usual effect. `message` ends
 * the command; `onInterrupt` runs at once, because ending in order may take a while.
 */
export async function interruptible<Result>(
  { message, onInterrupt }: { readonly message: string; readonly onInterrupt: () => void },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const stop = new AbortController();
  const onSignal = (signal: "SIGINT" | "SIGTERM"): void => {
    detach();
    onInterrupt();
    stop.abort(new Interrupted(signal, message));
  };
  const detach = (): void => {
    process.removeListener("SIGINT", onSignal);
    process.removeListener("SIGTERM", onSignal);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    return await work(stop.signal);
  } finally {
    detach();
  }
}
