/** Refused acts in table `audit`. Whoever may do nothing can still ask often, so they are few by construction. */
import type { Tx } from "../tx.ts";

export interface Denial {
  readonly actor: string;
  /** As it was asked for; kept only where there is such a backfill. */
  readonly backfill: string | undefined;
  readonly details: { readonly useCase: string; readonly code: string; readonly role: string };
}

/** Of one actor in a minute, whatever the objects. */
const mostAMinute = 20;

/**
 * Nothing where the same was written within the last minute, or too much of this actor. Two at the same instant may write
 * one each.
 */
export async function appendDenial(tx: Tx, { actor, backfill, details }: Denial): Promise<void> {
  await tx.query(
    `with recent as (
       select backfill, details from rederive.audit
       where actor = $1::text and act = 'denied' and at > clock_timestamp() - interval '1 minute'
     ), named as (select (select id from rederive.backfill where id = $2::text) as backfill)
     insert into rederive.audit (actor, act, backfill, details)
     select $1::text, 'denied', named.backfill, $3::text::jsonb from named
     where (select count(*) from recent) < $4::int
       and not exists (
         select from recent
         where recent.backfill is not distinct from named.backfill and recent.details->>'useCase' = $5::text)`,
    [actor, backfill ?? null, JSON.stringify(details), mostAMinute, details.useCase],
  );
}
