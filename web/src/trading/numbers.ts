// Decimals as the API writes them. They stay text: a float would round money.

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

/** `-1234567.5` as `−1,234,567.5`; with `digits`, at least so many decimals. What is no decimal stays as it is. */
export function decimalText(text: string, digits = 0): string {
  const match = DECIMAL.exec(text);
  if (!match) return text;
  const [, sign, whole = "", fraction = ""] = match;
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const decimals = fraction.padEnd(digits, "0");
  return `${sign ? "−" : ""}${grouped}${decimals ? `.${decimals}` : ""}`;
}

/** A price or average with no more than four decimals, the rest cut off: for tables only. */
export function priceText(text: string): string {
  const [whole = "", fraction = ""] = text.split(".");
  return decimalText(fraction ? `${whole}.${fraction.slice(0, 4)}` : whole, 2);
}

export function isNegative(text: string): boolean {
  return text.startsWith("-");
}

/** Part of a cap that is used, from 0 to 1 and beyond; a cap of 0 is used up by anything. */
export function usedShare(usedUsd: string, capUsd: string): number {
  const [used, cap] = [Number(usedUsd), Number(capUsd)];
  return cap > 0 ? used / cap : used > 0 ? 1 : 0;
}

/** Whether one amount of dollars is above another, to the cent. */
export function isAbove(a: string, b: string): boolean {
  return cents(a) > cents(b);
}

function cents(text: string): bigint {
  const [whole = "0", fraction = ""] = text.split(".");
  return BigInt(whole + fraction.padEnd(2, "0").slice(0, 2));
}

/** `118 µs`, `20.7 ms`, `1.2 s` */
export function latencyText(microseconds: number | null): string {
  if (microseconds === null) return "–";
  if (microseconds < 1_000) return `${Math.round(microseconds)} µs`;
  if (microseconds < 1_000_000) return `${Number((microseconds / 1_000).toFixed(1))} ms`;
  return `${Number((microseconds / 1_000_000).toFixed(1))} s`;
}
