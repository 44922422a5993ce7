/** What a `with…` function opens for a callback, kept for all tests of a file. */
export interface Kept<Stage> {
  readonly stage: Stage;
  /** Lets the `with…` function end. */
  readonly close: () => Promise<void>;
}

/** `open` gets what to call with the stage; it resolves when the stage may be closed. */
export async function kept<Stage>(open: (use: (stage: Stage) => Promise<void>) => Promise<void>): Promise<Kept<Stage>> {
  return new Promise((resolve, reject) => {
    const closed: Promise<void> = open(
      (stage) =>
        new Promise<void>((end) => {
          resolve({
            stage,
            close: () => {
              end();
              return closed;
            },
          });
        }),
    );
    closed.catch(reject);
  });
}
