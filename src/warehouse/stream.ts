/** Signature first. */
import type { Measured, TaskSpec } from "./measure.ts";
import type { Session } from "./session.ts";

export type ComputeMap = (session: Session, reader: Session, spec: TaskSpec, signal: AbortSignal) => Promise<Measured>;
