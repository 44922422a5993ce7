/** Whether what a backfill writes beside the live tables will fit. Pure: estimates in, findings out. */
import type { PreflightFinding } from "../report.ts";

export interface DatasetRoom {
  readonly dataset: string;
  /** Rows that it will write; undefined where it has never been computed. */
  readonly rows?: number;
  /** Of a row of its live table; undefined where that has no statistics. */
  readonly bytesPerRow?: number;
}

export interface Room {
  readonly datasets: readonly DatasetRoom[];
  /** Of the disk that the database is on, where that can be seen. */
  readonly free?: number;
  /** `maxCandidateBytes` of the configuration. */
  readonly limit?: number;
}

/** Where nothing is known about the rows of a table. */
const usualRow = 100;
/** The index of a candidate: the partition, the key and where the row is. */
const indexEntry = 40;
/** Above this share of what is free, Postgres itself gets into need: it wants room for its log and for sorting. */
const tolerable = 0.8;

export function roomFindings({ datasets, free, limit }: Room): PreflightFinding[] {
  const sizes = datasets.map((each) => ({ dataset: each.dataset, bytes: candidateBytes(each) ?? 0 }));
  const candidates = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  const largest = [...sizes].sort((a, b) => b.bytes - a.bytes)[0];
  if (largest === undefined) return [];
  const seen = `about ${bytesText(candidates)} for candidates, at most as much again for restore points; most of it for ${largest.dataset}`;
  const finding = { code: "disk_space", dataset: largest.dataset } as const;
  if (limit !== undefined && candidates > limit) {
    return [
      {
        ...finding,
        severity: "stop",
        what: `the candidates need more room than the configuration allows (maxCandidateBytes: ${bytesText(limit)})`,
        seen,
        mitigation: "ask for a narrower window and promote it before the next one, or raise maxCandidateBytes",
      },
    ];
  }
  if (free === undefined || 2 * candidates <= free * tolerable) return [];
  return [
    {
      ...finding,
      severity: "warn",
      what: "candidates and restore points may not fit on the disk of the database",
      seen: `${seen}; ${bytesText(free)} are free`,
      mitigation: "make room, or ask for a narrower window and promote it before the next one",
    },
  ];
}

/** What is known about it, in a few words. */
export function roomText({ datasets, free }: Room): string {
  const known = datasets.reduce((sum, each) => sum + (candidateBytes(each) ?? 0), 0);
  const unknown = datasets.filter(({ rows }) => rows === undefined).map(({ dataset }) => dataset);
  const needed =
    unknown.length < datasets.length
      ? `about ${bytesText(known)} for candidates, at most as much again for restore points`
      : "";
  const rest =
    unknown.length === 0 ? "" : `nobody knows how large ${unknown.join(", ")} will be, never computed so far`;
  const room = free === undefined ? "only the server's machine knows what is free" : `${bytesText(free)} are free`;
  return `room on disk (${[needed, rest, room].filter((text) => text !== "").join("; ")})`;
}

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

/** `1.3 GB`, in powers of a thousand. */
function bytesText(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(2))} ${units[power]}`;
}

function candidateBytes({ rows, bytesPerRow = usualRow }: DatasetRoom): number | undefined {
  return rows === undefined ? undefined : rows * (bytesPerRow + indexEntry);
}
