import { describe, expect, it } from "vitest";
import { roomFindings, roomText } from "../../src/planner/room.ts";

const datasets = [
  { dataset: "facts", rows: 1_000_000, bytesPerRow: 160 },
  { dataset: "revenue", rows: 1_000, bytesPerRow: 60 },
];

describe("roomFindings", () => {
  it("stops a plan beyond the limit of the configuration, by what is largest", () => {
    expect(roomFindings({ datasets, limit: 100_000_000, free: 1_000_000 })).toEqual([
      {
        code: "disk_space",
        severity: "stop",
        dataset: "facts",
        what: "the candidates need more room than the configuration allows (maxCandidateBytes: 100 MB)",
        seen: "about 200 MB for candidates, at most as much again for restore points; most of it for facts",
        mitigation: expect.stringContaining("raise maxCandidateBytes"),
      },
    ]);
    expect(roomFindings({ datasets, limit: 201_000_000 })).toEqual([]);
  });

  it("warns where candidates and restore points may fill the disk, as far as that is known", () => {
    expect(roomFindings({ datasets, free: 450_000_000 })).toMatchObject([
      { code: "disk_space", severity: "warn", seen: expect.stringMatching(/450 MB are free$/) },
    ]);
    expect(roomFindings({ datasets, free: 600_000_000 })).toEqual([]);
    expect(roomFindings({ datasets })).toEqual([]);
    expect(roomFindings({ datasets: [], free: 1 })).toEqual([]);
  });
});

describe("roomText", () => {
  it("says what is needed, what nobody knows, and what is free", () => {
    expect(roomText({ datasets: [...datasets, { dataset: "trend" }], free: 30e9 })).toBe(
      "room on disk (about 200 MB for candidates, at most as much again for restore points; " +
        "nobody knows how large trend will be, never computed so far; 30 GB are free)",
    );
    expect(roomText({ datasets: [{ dataset: "trend" }] })).toBe(
      "room on disk (nobody knows how large trend will be, never computed so far; only the server's machine knows what is free)",
    );
  });
});
