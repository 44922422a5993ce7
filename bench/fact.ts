/** The pure function of the map benchmarks, the same for every contender. */

export interface OrderRow {
  readonly id: number;
  readonly createdMs: number;
  readonly customerId: number;
  readonly cents: number;
  readonly currency: string;
}

export interface OrderFact {
  readonly order_id: number;
  readonly day: string;
  readonly hour: number;
  readonly customer_id: number;
  readonly cents: number;
  readonly fee_cents: number;
  readonly net_cents: number;
  readonly currency: string;
  readonly size: string;
}

export function toFact(order: OrderRow): OrderFact {
  const hours = Math.floor(order.createdMs / 3_600_000);
  const fee = Math.round(order.cents * 0.029) + 30;
  return {
    order_id: order.id,
    day: dayText(Math.floor(hours / 24)),
    hour: hours % 24,
    customer_id: order.customerId,
    cents: order.cents,
    fee_cents: fee,
    net_cents: order.cents - fee,
    currency: order.currency,
    size: order.cents < 2_000 ? "small" : order.cents < 10_000 ? "medium" : "large",
  };
}

const dayTexts = new Map<number, string>();

/** 2025-01-31 of a day since the epoch; remembered, because thousands of rows share a day. */
function dayText(day: number): string {
  let text = dayTexts.get(day);
  if (text === undefined) {
    text = new Date(day * 86_400_000).toISOString().slice(0, 10);
    dayTexts.set(day, text);
  }
  return text;
}
