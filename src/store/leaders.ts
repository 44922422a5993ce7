/** Table `leader`: a lease with a term for each loop of which only one may run. Times are those of Postgres. */
import type { Tx } from "../tx.ts";

export interface Leadership {
  readonly name: string;
  readonly holder: string;
}

/** Takes or renews the lease. Returns the term, or undefined where somebody else holds it. A new holder gets a new term. */
export async function takeLead(tx: Tx, args: Leadership & { readonly leaseMs: number }): Promise<string | undefined> {
  const [row] = await tx.query<{ term: string }>(
    `insert into rederive.leader as l (name, holder, term, lease_until)
     values ($1::text, $2::text, 1, clock_timestamp() + $3::int * interval '1 millisecond')
     on conflict (name) do update
     set holder = excluded.holder,
       term = case when l.holder = excluded.holder and l.lease_until > clock_timestamp() then l.term else l.term + 1 end,
       lease_until = excluded.lease_until
     where l.holder = excluded.holder or l.lease_until <= clock_timestamp()
     returning term::text as term`,
    [args.name, args.holder, args.leaseMs],
  );
  return row?.term;
}

/** In a transaction: keeps the term from changing until its end. False where the term is over. */
export async function holdTerm(tx: Tx, args: Leadership & { readonly term: string }): Promise<boolean> {
  const rows = await tx.query(
    `select term::text as term from rederive.leader
     where name = $1::text and holder = $2::text and term = $3::int8 and lease_until > clock_timestamp()
     for share`,
    [args.name, args.holder, args.term],
  );
  return rows.length === 1;
}

/** Gives the lease back, so that the next one need not wait for its end. */
export async function resign(tx: Tx, args: Leadership & { readonly term: string }): Promise<void> {
  await tx.query(
    `update rederive.leader set lease_until = clock_timestamp()
     where name = $1::text and holder = $2::text and term = $3::int8`,
    [args.name, args.holder, args.term],
  );
}
