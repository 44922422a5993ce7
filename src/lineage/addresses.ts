/**
 * Which addresses may be called from inside: public ones. A name is resolved once and that address is connected to, so
 * that a name which changes its address between the question and the call gains nothing.
 */
import { lookup as resolve } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { RederiveError } from "../errors.ts";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Private, link-local, shared, reserved and multicast ranges; documentation and translation prefixes. */
const inside = new BlockList();
const ipv4 =
  "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 " +
  "198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4";
const ipv6 = "::/128 64:ff9b::/96 100::/64 2001:db8::/32 2002::/16 fc00::/7 fe80::/10 ff00::/8";
for (const [family, ranges] of [["ipv4", ipv4] as const, ["ipv6", ipv6] as const]) {
  for (const range of ranges.split(" ")) {
    const [network = "", prefix] = range.split("/");
    inside.addSubnet(network, Number(prefix), family);
  }
}

/** Whether an address may be connected to; loopback only where that was allowed. */
export function mayCall(address: string, allowLoopback: boolean): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  // An IPv4 address in the clothes of an IPv6 one is judged as what it is.
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mayCall(mapped, allowLoopback);
  if (/^::ffff:/i.test(address)) return false;
  const kind = family === 4 ? "ipv4" : "ipv6";
  if (loopback.check(address, kind)) return allowLoopback;
  return !inside.check(address, kind);
}

/** A `lookup` for connections that refuses names with an address that may not be called. */
export function guardedLookup(allowLoopback: boolean): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, "");
      const refused = addresses.find(({ address }) => !mayCall(address, allowLoopback));
      const [first] = addresses;
      if (refused !== undefined || first === undefined) return callback(refusal(hostname), "");
      if (options.all === true) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

export function refusal(host: string): RederiveError {
  return new RederiveError(
    "forbidden",
    `${host} is a private or local address, which webhooks do not call; allowLoopback permits this machine alone`,
  );
}
