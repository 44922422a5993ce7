/** A TCP proxy between a client and Postgres that can lose what is on its way. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Proxy {
  /** The database's URL through the proxy. */
  readonly url: string;
  /**
   * Cuts the connection at the next message from the client that contains `text`: after it was passed on and answered
   * (`after`: the reply is lost), or instead of passing it on (`before`).
   */
  cutAt(text: string, when: "before" | "after"): void;
  close(): Promise<void>;
}

export async function openProxy(databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let cut: { text: string; when: "before" | "after" } | undefined;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    let losing = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
    }
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    client.on("data", (chunk) => {
      const found = cut !== undefined && chunk.includes(cut.text);
      if (found && cut?.when === "before") return end();
      if (found) losing = true;
      if (found) cut = undefined;
      upstream.write(chunk);
    });
    // The reply itself is the signal that the server has done what it was asked.
    upstream.on("data", (chunk) => (losing ? end() : client.write(chunk)));
    client.on("close", end);
    upstream.on("close", end);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.toString(),
    cutAt: (text, when) => {
      cut = { text, when };
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
