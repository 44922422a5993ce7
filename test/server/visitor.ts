/** A browser as far as logins go: it keeps cookies and says where requests come from. Redirects are followed by hand. */
import { type IncomingHttpHeaders, request as rawRequest } from "node:http";
import { text } from "node:stream/consumers";

export interface Page {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Where it leads, whole; undefined where it leads nowhere. */
  readonly leadsTo: string | undefined;
  /** Each Set-Cookie, as it was sent. */
  readonly cookies: readonly string[];
}

export interface Visit {
  readonly method?: string;
  /** Instead of those that a navigation has. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

let addresses = 0;

function nextAddress(): string {
  addresses += 1;
  return `203.0.113.${addresses}`;
}

export class Visitor {
  /** By name, of every host: here all of them are this machine. */
  readonly cookies = new Map<string, string>();
  readonly #address = nextAddress();

  /** One request with the cookies so far, from an address of its own behind a proxy. */
  async go(address: string, { method = "GET", headers = { accept: "text/html" }, body }: Visit = {}): Promise<Page> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const sent = { ...headers, "x-forwarded-for": this.#address, ...(cookie !== "" && { cookie }) };
    const page = await send(address, method, sent, body);
    for (const line of page.cookies) this.#keep(line);
    return page;
  }

  #keep(line: string): void {
    const [, name = "", value = "", rest = ""] = /^([^=]+)=([^;]*)(.*)$/.exec(line) ?? [];
    const expires = /expires=([^;]+)/i.exec(rest)?.[1];
    if (value === "" || (expires !== undefined && Date.parse(expires) <= Date.now())) this.cookies.delete(name);
    else this.cookies.set(name, value);
  }
}

export interface LoginSteps {
  readonly returnTo?: string;
  /** Changes what the browser asks the issuer for. */
  readonly change?: (authorization: URL) => void;
}

/** As far as the address to which the issuer sends the browser back, which is not visited yet. */
export async function askIssuer(
  visitor: Visitor,
  server: string,
  person: string,
  { returnTo, change }: LoginSteps = {},
): Promise<string> {
  const query = returnTo === undefined ? "" : `?returnTo=${encodeURIComponent(returnTo)}`;
  const begun = await visitor.go(`${server}/login${query}`);
  const authorization = new URL(begun.leadsTo ?? "");
  change?.(authorization);
  let address = authorization.href;
  // The issuer asks who it is, unless this browser has said so before.
  for (let step = 0; step < 8; step += 1) {
    const page = await visitor.go(address);
    const next = page.leadsTo ?? (await answer(visitor, address, person)).leadsTo;
    if (next === undefined) throw new Error(`the issuer leads nowhere: ${page.status} ${page.body}`);
    if (new URL(next).pathname.endsWith("/login/callback")) return next;
    address = next;
  }
  throw new Error(`the issuer leads from ${address} to ever more pages`);
}

export async function logIn(visitor: Visitor, server: string, person: string, steps: LoginSteps = {}): Promise<Page> {
  return visitor.go(await askIssuer(visitor, server, person, steps));
}

async function answer(visitor: Visitor, form: string, person: string): Promise<Page> {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return visitor.go(form, { method: "POST", headers, body: `person=${person}` });
}

async function send(
  address: string,
  method: string,
  headers: Readonly<Record<string, string>>,
  body: string | undefined,
): Promise<Page> {
  return new Promise((resolve, reject) => {
    const outgoing = rawRequest(address, { method, headers }, (response) => {
      const { statusCode = 0, headers: received } = response;
      const { location } = received;
      const leadsTo = location === undefined ? undefined : new URL(location, address).href;
      text(response).then(
        (page) =>
          resolve({
            ...{ status: statusCode, headers: received, body: page, leadsTo },
            cookies: received["set-cookie"] ?? [],
          }),
        reject,
      );
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}
