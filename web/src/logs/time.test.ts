import { describe, expect, test } from "vitest";
import * as time from "./time";

const NEW_YORK = time.zoneOf("America/New_York");
const UTC = time.zoneOf("utc");

describe("an instant", () => {
  test("keeps its nanoseconds", () => {
    expect(time.parseInstant("2026-01-21T22:16:38.123501204Z")).toEqual({ ms: 1769033798123, sub: 501204 });
  });

  test("may have no fraction, or another offset", () => {
    expect(time.parseInstant("2026-01-21T23:16:38+01:00")).toEqual(time.parseInstant("2026-01-21T22:16:38Z"));
  });

  test("goes there and back", () => {
    const text = "2026-01-21T22:16:38.000000009Z";
    expect(time.exactly(time.parseInstant(text))).toBe(text);
  });

  test.each(["", "yesterday", "2026-01-21", "1h", "2026-01-21T22:16:38"])("is not %j", (text) => {
    expect(() => time.parseInstant(text)).toThrow(RangeError);
  });

  test("sorts by nanoseconds, also where the text has fewer digits", () => {
    const [early, late] = ["2026-01-21T22:16:38Z", "2026-01-21T22:16:38.0000001Z"].map(time.parseInstant);
    expect(time.compareInstants(early as time.Instant, late as time.Instant)).toBeLessThan(0);
  });
});

describe("a zone", () => {
  test("knows summer from winter", () => {
    expect(time.clockText(Date.parse("2026-01-21T14:30:00.250Z"), NEW_YORK)).toBe("09:30:00.250");
    expect(time.clockText(Date.parse("2026-07-21T13:30:00.250Z"), NEW_YORK)).toBe("09:30:00.250");
  });

  test("that nobody knows is UTC", () => {
    expect(time.zoneOf("Moon/Tranquility")).toBe(UTC);
  });

  test("turns what was typed into the instant that shows as it, on both sides of a clock change", () => {
    for (const typed of ["2026-03-08 01:30:00", "2026-03-08 03:30:00", "2026-11-01 03:00:00", "2026-06-01 09:30:00"]) {
      const ms = time.fromInput(typed, NEW_YORK);
      expect(ms).not.toBeNull();
      expect(time.dateClockText(ms as number, NEW_YORK)).toBe(typed);
    }
  });

  test("refuses what is no time", () => {
    for (const typed of ["", "9:30", "2026-13-01 10:00", "21.11.2026 10:00"])
      expect(time.fromInput(typed, UTC)).toBeNull();
  });

  test("takes a time without seconds, and as it stands in a URL", () => {
    expect(time.fromInput("2026-01-21 09:30", UTC)).toBe(time.fromInput("2026-01-21T09:30:00", UTC));
  });

  test("stands in the exact text", () => {
    const instant = time.parseInstant("2026-01-21T22:16:38.123501204Z");
    expect(time.exactText(instant, NEW_YORK)).toBe("2026-01-21 17:16:38.123501204 -05:00");
    expect(time.exactText(instant, UTC)).toBe("2026-01-21 22:16:38.123501204Z");
  });
});

test("a window of an age ends where it is told, or now", () => {
  expect(time.windowOf("15m", "", 1_000_000_000)).toEqual({ startMs: 999_100_000, endMs: 1_000_000_000 });
  const end = "2026-01-21T22:00:00Z";
  expect(time.windowOf("1h", end, 0)).toEqual({ startMs: Date.parse("2026-01-21T21:00:00Z"), endMs: Date.parse(end) });
});

test("a span is told in the unit a person thinks in", () => {
  expect([3, 240, 9_000, 300_000].map(time.spanText)).toEqual(["3 s", "4 min", "2.5 h", "3 d"]);
});
