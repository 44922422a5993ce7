/** What a receiver's answer means for a message: it has arrived, it may arrive later, or it never will. */
import { RederiveError } from "../errors.ts";

export interface Answer {
  readonly status: number;
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** Of an answer in the class of 4xx these alone mean that the same message may be taken later. */
const temporary = [408, 425, 429];

/** Characters of a refusal that are kept, for people to see what was wrong. */
const keptLength = 300;

/**
 * Undefined for a 2xx; why not, where the receiver will never take this message. Throws `unavailable` where it may take it
 * later. `who` begins the sentence.
 */
export async function refusedBecause(who: string, { status, body }: Answer): Promise<string | undefined> {
  if (status >= 200 && status < 300) return undefined;
  const what = `${who} answered ${status}`;
  if (status < 400 || status >= 500 || temporary.includes(status)) {
    throw new RederiveError("unavailable", what, { details: { status } });
  }
  const said = body === null ? "" : await beginningOf(body);
  return said === "" ? what : `${what}: ${said}`;
}

/** Text in one line; what cannot be read any more is left out, and the rest of a long answer is not read. */
async function beginningOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of body) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length >= keptLength) break;
    }
  } catch {
    // The status has been said, and that is what counts.
  }
  return text
    .replaceAll(/[\p{Cc}\s]+/gu, " ")
    .trim()
    .slice(0, keptLength);
}
