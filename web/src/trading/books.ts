// The books of what was traded, as pages: /trading is /trading/positions.
export const BOOKS = ["positions", "orders", "fills", "signals"] as const;
export type Book = (typeof BOOKS)[number];

/** The book that a path shows; null when it is another page. */
export function bookOf(path: string): Book | null {
  if (/^\/trading\/?$/.test(path)) return "positions";
  const name = /^\/trading\/([a-z]+)\/?$/.exec(path)?.[1];
  return BOOKS.find((book) => book === name) ?? null;
}

/** The permalink of an order: what it became, its fills, latency and records. */
export function orderPath(runId: string, orderId: string): string {
  return `/trading/orders/${encodeURIComponent(runId)}/${encodeURIComponent(orderId)}`;
}
