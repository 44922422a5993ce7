import { describe, expect, it } from "vitest";
import { Turns } from "../../src/executor/turns.ts";

/** Work that ends when it is told to, and notes when it begins. */
function works(begun: string[]): (name: string) => { readonly work: () => Promise<string>; readonly end: () => void } {
  return (name) => {
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const work = async () => {
      begun.push(name);
      await ended;
      return name;
    };
    return { work, end: () => end() };
  };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("turns", () => {
  it("let many work together, and one alone after them and before those who come later", async () => {
    const begun: string[] = [];
    const make = works(begun);
    const a = make("a");
    const b = make("b");
    const suspect = make("suspect");
    const c = make("c");
    const d = make("d");
    const turns = new Turns();
    const all = [
      turns.together(a.work),
      turns.together(b.work),
      turns.alone(suspect.work),
      turns.together(c.work),
      turns.together(d.work),
    ];
    await settled();
    expect(begun).toEqual(["a", "b"]);
    a.end();
    await settled();
    expect(begun).toEqual(["a", "b"]);
    b.end();
    await settled();
    expect(begun).toEqual(["a", "b", "suspect"]);
    suspect.end();
    await settled();
    expect(begun).toEqual(["a", "b", "suspect", "c", "d"]);
    c.end();
    d.end();
    expect(await Promise.all(all)).toEqual(["a", "b", "suspect", "c", "d"]);
  });

  it("go on after work that fails", async () => {
    const turns = new Turns();
    const failing = turns.alone(() => Promise.reject(new Error("broken")));
    const next = turns.together(async () => "next");
    await expect(failing).rejects.toThrow("broken");
    expect(await next).toBe("next");
  });
});
