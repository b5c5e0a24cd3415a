// Geometry of the histogram, without a page.
import type { Bucket } from "../api/client";
import { LEVELS, type Level } from "./items";
import type { Window } from "./time";

export interface Bar {
  level: Level;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A single error among ten thousand records must be seen. */
const MIN_PX = 2;

/** What matters most stands on the base line, where lengths can be compared. */
export function barsOf(
  buckets: readonly Bucket[],
  stepMs: number,
  window: Window,
  width: number,
  height: number,
): Bar[] {
  const most = highest(buckets);
  const bars: Bar[] = [];
  for (const bucket of buckets) {
    const startMs = Date.parse(bucket.start);
    const left = Math.max(0, xOf(startMs, window, width));
    const right = Math.min(width, xOf(startMs + stepMs, window, width));
    let y = height;
    for (const level of LEVELS) {
      const count = bucket.levels[level] ?? 0;
      if (count === 0) continue;
      const tall = Math.min(y, Math.max(MIN_PX, (count / most) * (height - MIN_PX * LEVELS.length)));
      y -= tall;
      bars.push({ level, x: left, y, width: Math.max(1, right - left - 1), height: tall });
    }
  }
  return bars;
}

export function highest(buckets: readonly Bucket[]): number {
  return Math.max(1, ...buckets.map((bucket) => bucket.total));
}

export function xOf(ms: number, window: Window, width: number): number {
  return ((ms - window.startMs) / (window.endMs - window.startMs)) * width;
}

export function msAt(x: number, window: Window, width: number): number {
  const share = Math.min(1, Math.max(0, x / width));
  return window.startMs + share * (window.endMs - window.startMs);
}

const TICK_STEPS_MS = [1, 2, 5, 10, 15, 30]
  .map((seconds) => seconds * 1_000)
  .concat([1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60_000))
  .concat([1, 2, 3, 6, 12, 24].map((hours) => hours * 3_600_000));
const TICK_PX = 110;

/** Round times of the zone, far enough apart to be read. */
export function ticksOf(window: Window, width: number, offsetMs: number): number[] {
  const span = window.endMs - window.startMs;
  const wanted = (span * TICK_PX) / Math.max(width, TICK_PX);
  const step = TICK_STEPS_MS.find((one) => one >= wanted) ?? 24 * 3_600_000;
  const ticks: number[] = [];
  const first = Math.ceil((window.startMs + offsetMs) / step) * step - offsetMs;
  for (let ms = first; ms < window.endMs; ms += step) ticks.push(ms);
  return ticks;
}

export function countsOf(buckets: readonly Bucket[]): Record<Level, number> {
  const counts = { CRITICAL: 0, ERROR: 0, WARNING: 0, INFO: 0, DEBUG: 0 };
  for (const bucket of buckets) for (const level of LEVELS) counts[level] += bucket.levels[level] ?? 0;
  return counts;
}
