import { expect, test } from "vitest";
import { barsOf, countsOf, msAt, ticksOf, xOf } from "./histogram";

const window = { startMs: 0, endMs: 120_000 };
const bucket = (seconds: number, levels: Record<string, number>) => ({
  start: new Date(seconds * 1_000).toISOString(),
  total: Object.values(levels).reduce((sum, one) => sum + one, 0),
  levels,
});

test("one error among ten thousand records is seen, at the base line", () => {
  const bars = barsOf([bucket(0, { INFO: 10_000, ERROR: 1 })], 60_000, window, 600, 60);
  expect(bars.map((bar) => bar.level)).toEqual(["ERROR", "INFO"]);
  expect(bars[0]).toMatchObject({ y: 58, height: 2, x: 0, width: 299 });
});

test("no bar leaves the picture", () => {
  const buckets = [
    bucket(-30, { INFO: 5 }),
    bucket(30, { CRITICAL: 1, ERROR: 1, WARNING: 1, INFO: 996, DEBUG: 1 }),
    bucket(90, { INFO: 1 }),
  ];
  for (const bar of barsOf(buckets, 60_000, window, 600, 60)) {
    expect(bar.x).toBeGreaterThanOrEqual(0);
    expect(bar.x + bar.width).toBeLessThanOrEqual(600);
    expect(bar.y).toBeGreaterThanOrEqual(0);
    expect(bar.y + bar.height).toBeLessThanOrEqual(60);
  }
});

test("time and place are two views of the same", () => {
  expect(msAt(xOf(30_000, window, 640), window, 640)).toBe(30_000);
  expect([msAt(-50, window, 640), msAt(9_999, window, 640)]).toEqual([0, 120_000]);
});

test("ticks are round times of the zone", () => {
  const hour = 3_600_000;
  const india = 5.5 * hour;
  const ticks = ticksOf({ startMs: 0, endMs: 24 * hour }, 900, india);
  expect(ticks.length).toBeGreaterThan(4);
  expect(ticks.every((ms) => (ms + india) % hour === 0)).toBe(true);
});

test("levels are counted over all buckets", () => {
  expect(countsOf([bucket(0, { INFO: 2, ERROR: 1 }), bucket(60, { INFO: 3 })])).toEqual({
    CRITICAL: 0,
    ERROR: 1,
    WARNING: 0,
    INFO: 5,
    DEBUG: 0,
  });
});
