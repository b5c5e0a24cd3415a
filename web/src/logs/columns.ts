// Columns beside time, level and message: how wide, and where a number stands.
import type { LogRecord } from "../api/client";
import { fieldText } from "./items";

const WIDTHS_CH: Record<string, number> = {
  strategy_id: 16,
  component: 20,
  source: 10,
  container_name: 20,
  order_id: 26,
  instrument: 12,
  side: 6,
  quantity: 9,
  price: 11,
  action: 17,
  seq: 9,
  boot: 18,
};
const DEFAULT_WIDTH_CH = 18;
const TIME_CH = 14;
const LEVEL_CH = 3;
const MESSAGE_CH = 40;
const GAP_PX = 8;
const EDGES_PX = 24;

const LABELS: Record<string, string> = { strategy_id: "strategy", container_name: "container" };

/** Fields offered even before a record with them was seen. */
export const KNOWN_FIELDS = [
  "strategy_id",
  "component",
  "source",
  "container_name",
  "instrument",
  "order_id",
  "action",
  "side",
  "quantity",
  "price",
] as const;

/** Never among the fields behind a message: they have a place of their own, or say nothing to a person. */
const QUIET = new Set([
  "_time", "_msg", "_stream", "_stream_id", "level", "source", "strategy_id", "component", "container_name", "boot", "seq",
  "logger", "app", "host", "error_traceback", "stack_info", "timestamp", "bar_time",
]); // biome-ignore format: a set reads better as a block

const INLINE_CHARACTERS = 240;
const VALUE_CHARACTERS = 60;

export function columnLabel(field: string): string {
  return LABELS[field] ?? field;
}

/** The `grid-template-columns` of the list. */
export function gridTemplate(columns: readonly string[]): string {
  const widths = columns.map((field) => `${WIDTHS_CH[field] ?? DEFAULT_WIDTH_CH}ch`);
  return [`${TIME_CH}ch`, `${LEVEL_CH}ch`, ...widths, `minmax(${MESSAGE_CH}ch, 1fr)`].join(" ");
}

/** The width below which the list scrolls sideways; a long message does not widen it. */
export function leastWidth(columns: readonly string[]): string {
  const characters = columns.reduce(
    (sum, field) => sum + (WIDTHS_CH[field] ?? DEFAULT_WIDTH_CH),
    TIME_CH + LEVEL_CH + MESSAGE_CH,
  );
  return `calc(${characters}ch + ${(columns.length + 2) * GAP_PX + EDGES_PX}px)`;
}

const NUMBER = /^-?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?%?$/;

export function isNumeric(value: string): boolean {
  return NUMBER.test(value);
}

/** Fields of a record that have no column, as `name=value`. */
export function inlineFields(record: LogRecord, columns: readonly string[]): string {
  let text = "";
  for (const [name, value] of Object.entries(record)) {
    if (QUIET.has(name) || columns.includes(name)) continue;
    const shown = fieldText(value);
    if (!shown) continue;
    text += `${text ? "  " : ""}${name}=${shown.length > VALUE_CHARACTERS ? `${shown.slice(0, VALUE_CHARACTERS)}…` : shown}`;
    if (text.length > INLINE_CHARACTERS) return text;
  }
  return text;
}
