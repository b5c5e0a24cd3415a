// What stands in the list: records, and the places where records are missing.
import type { Gap, LogRecord } from "../api/client";
import { exactly, type Instant, parseInstant } from "./time";

export interface RowItem extends Instant {
  kind: "row";
  /** The same for the same record, however it came here. */
  key: string;
  record: LogRecord;
}

/** Records between two instants that the viewer did not take; they are in the store. */
export interface SkippedItem extends Instant {
  kind: "skipped";
  key: string;
  /** Unknown when a poll found more than it may fetch. */
  count: number | null;
  from: Instant;
  to: Instant;
  state: "idle" | "loading" | "failed";
}

/** Records that never reached the store: the trading process lost them and counted them. */
export interface LostItem extends Instant {
  kind: "lost";
  key: string;
  count: number;
  reason: string;
  strategyId: string;
  firstSeq: number;
  lastSeq: number;
}

export type Item = RowItem | SkippedItem | LostItem;

export const LEVELS = ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"] as const;
export type Level = (typeof LEVELS)[number];

/** What strategies give as `action` of a fill. */
export const FILL_ACTION = "order_filled";

export function levelOf(record: LogRecord): Level {
  const level = String(record.level ?? "").toUpperCase();
  if (level === "WARN") return "WARNING";
  if (level === "FATAL") return "CRITICAL";
  return (LEVELS as readonly string[]).includes(level) ? (level as Level) : "INFO";
}

export function fieldText(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The time of a record; answers of `stats` pipes have none and stand at the very end. */
function timeOf(record: LogRecord): Instant {
  try {
    return parseInstant(record._time);
  } catch {
    return { ms: 0, sub: 0 };
  }
}

/** FNV-1a, 32 bits: tells texts of one stream and nanosecond apart. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return (value >>> 0).toString(36);
}

/** `boot` and `seq` name a record for ever; others are told apart by stream, time and text. */
export function keyOf(record: LogRecord): string {
  if (record.boot !== undefined && record.seq !== undefined) return `${record.boot}:${record.seq}`;
  if (record._time === undefined) return hash(JSON.stringify(record));
  return `${record._stream_id ?? ""}-${record._time}-${hash(fieldText(record._msg))}`;
}

function lostKey(strategyId: unknown, firstSeq: unknown, lastSeq: unknown, reason: unknown, boot: unknown): string {
  return `lost:${boot ?? strategyId}:${firstSeq}-${lastSeq}:${reason}`;
}

/** A record of the store as an item: one that tells of a loss is shown as the loss. */
export function itemOf(record: LogRecord): RowItem | LostItem {
  const instant = timeOf(record);
  if (record.gap_reason !== undefined && record.gap_records !== undefined) {
    return {
      ...instant,
      kind: "lost",
      key: lostKey(record.strategy_id, record.gap_first_seq, record.gap_last_seq, record.gap_reason, record.boot),
      count: Number(record.gap_records),
      reason: fieldText(record.gap_reason),
      strategyId: fieldText(record.strategy_id),
      firstSeq: Number(record.gap_first_seq),
      lastSeq: Number(record.gap_last_seq),
    };
  }
  return { ...instant, kind: "row", key: keyOf(record), record };
}

export function lostItem(gap: Gap): LostItem {
  return {
    ...parseInstant(gap.time),
    kind: "lost",
    key: lostKey(gap.strategy_id, gap.first_seq, gap.last_seq, gap.reason, gap.boot),
    count: gap.count,
    reason: gap.reason,
    strategyId: gap.strategy_id ?? "",
    firstSeq: gap.first_seq,
    lastSeq: gap.last_seq,
  };
}

let skips = 0;

export function skippedItem(from: Instant, to: Instant, count: number | null): SkippedItem {
  skips += 1;
  // It stands just above what came before the hole.
  return {
    ms: from.ms,
    sub: from.sub,
    kind: "skipped",
    key: `skipped:${skips}:${exactly(from)}`,
    count,
    from,
    to,
    state: "idle",
  };
}
