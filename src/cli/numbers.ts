/** Parsers of numeric options. */
import { InvalidArgumentError } from "commander";

/** A whole number within bounds. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${minimum} to ${maximum}.`);
  };
}

const periods: Readonly<Record<string, number>> = { s: 1_000, sec: 1_000, m: 60_000, min: 60_000, h: 3_600_000 };

/** `50/s`, `600/m`, `5/100ms` as a rate. */
export function rate(text: string): { max: number; perMs: number } {
  const match = /^(\d+)\/(?:(\d+)ms|(s|sec|m|min|h))$/.exec(text.trim());
  const max = Number(match?.[1] ?? 0);
  const perMs = match?.[2] === undefined ? (periods[match?.[3] ?? ""] ?? 0) : Number(match[2]);
  if (max > 0 && perMs > 0) return { max, perMs };
  throw new InvalidArgumentError("Expected a rate such as 50/s, 600/m or 5/100ms.");
}

/** `1%,10%,100%`. */
export function shares(text: string): number[] {
  return text.split(",").map(share);
}

/** `1%`, `0.5 %` or `0.01` as a share from 0 to 1. */
export function share(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text.trim());
  const value = Number(match?.[1] ?? Number.NaN) / (match?.[2] === "%" ? 100 : 1);
  if (value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("Expected a share such as 1% or 0.01.");
}
