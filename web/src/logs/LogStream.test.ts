import { describe, expect, test } from "vitest";
import type { LogRecord } from "../api/client";
import type { SkippedItem } from "./items";
import { LogStream } from "./LogStream";
import { parseInstant } from "./time";

const START = Date.parse("2026-01-21T22:00:00Z");
const at = (seconds: number) => new Date(START + seconds * 1_000).toISOString();
const record = (seq: number, seconds = seq): LogRecord => ({
  _time: at(seconds),
  _msg: `record ${seq}`,
  boot: "b",
  seq,
});
const records = (...seqs: number[]) => seqs.map((seq) => record(seq));

function shown(stream: LogStream): string[] {
  return Array.from({ length: stream.getState().length }, (_, position) => {
    const item = stream.at(position);
    if (item?.kind === "row") return String(item.record.seq);
    return item ? `${item.kind} ${item.count}` : "nothing";
  });
}

const now = (run: () => void) => run();
const streamOf = (...seqs: number[]) => {
  const stream = new LogStream(now, 100, 5);
  stream.reset(records(...seqs));
  return stream;
};

test("newest stands first, whichever way records come", () => {
  const stream = streamOf(6, 5, 4);
  stream.receive(records(7, 8));
  stream.appendOlder(records(3, 2));
  expect(shown(stream)).toEqual(["8", "7", "6", "5", "4", "3", "2"]);
});

test("a record is shown once: poll, tail and pages overlap", () => {
  const stream = streamOf(6, 5, 4);
  expect(stream.receive(records(5, 6, 7))).toBe(1);
  stream.appendOlder(records(5, 4, 3));
  expect(shown(stream)).toEqual(["7", "6", "5", "4", "3"]);
});

test("a late record is put in its place", () => {
  const stream = streamOf(6, 4);
  stream.receive(records(7, 5));
  expect(shown(stream)).toEqual(["7", "6", "5", "4"]);
});

test("listeners hear of a frame's changes once", () => {
  const frames: (() => void)[] = [];
  const stream = new LogStream((run) => frames.push(run), 100, 5);
  let heard = 0;
  stream.subscribe(() => {
    heard += 1;
  });
  for (let seq = 1; seq <= 50; seq += 1) stream.receive([record(seq)]);
  expect([frames.length, heard]).toEqual([1, 0]);
  frames[0]?.();
  expect([heard, stream.getState().rows]).toEqual([1, 50]);
});

test("a flood is drawn calmly, and what a person does at once", () => {
  const asked: { run: () => void; delayMs: number }[] = [];
  const stream = new LogStream((run, delayMs) => asked.push({ run, delayMs }), 10_000, 5);
  stream.receive(Array.from({ length: 2_000 }, (_, seq) => record(seq, seq / 1_000)));
  asked.at(-1)?.run();
  expect(stream.getState().rate).toBe(400);
  stream.receive([record(2_001)]);
  stream.receive([record(2_002)]);
  expect(asked.map((one) => one.delayMs)).toEqual([0, 400]);
  stream.hold(true);
  expect(asked.map((one) => one.delayMs)).toEqual([0, 400, 0]);
  asked.at(-1)?.run();
  const { version } = stream.getState();
  asked.at(1)?.run();
  expect(stream.getState().version).toBe(version);
});

test("the oldest go when it is full", () => {
  const stream = new LogStream(now, 3, 5);
  stream.reset(records(2, 1));
  stream.receive(records(3, 4, 5));
  expect(shown(stream)).toEqual(["5", "4", "3"]);
  expect(stream.getState().rows).toBe(3);
  stream.appendOlder(records(2));
  expect(shown(stream)).toEqual(["5", "4", "3"]);
});

describe("while held", () => {
  test("nothing moves, and new records are counted", () => {
    const stream = streamOf(2, 1);
    stream.hold(true);
    stream.receive(records(3, 4));
    stream.receive(records(4));
    expect(shown(stream)).toEqual(["2", "1"]);
    expect(stream.getState().waiting).toBe(2);
    stream.hold(false);
    expect(shown(stream)).toEqual(["4", "3", "2", "1"]);
    expect(stream.getState().waiting).toBe(0);
  });

  test("more than it can keep becomes one skipped row with the exact count", () => {
    const stream = streamOf(2, 1);
    stream.hold(true);
    for (let seq = 3; seq <= 12; seq += 1) stream.receive([record(seq)]);
    expect(stream.getState().waiting).toBe(10);
    stream.hold(false);
    expect(shown(stream)).toEqual(["12", "11", "10", "9", "8", "skipped 5", "2", "1"]);
  });
});

describe("a skipped row", () => {
  const withHole = () => {
    const stream = streamOf(2, 1);
    stream.skip(3, parseInstant(at(6)));
    stream.receive(records(6));
    return { stream, marker: stream.at(1) as SkippedItem };
  };

  test("stands between what came before and after", () => {
    expect(shown(withHole().stream)).toEqual(["6", "skipped 3", "2", "1"]);
  });

  test("gives way to what it stood for", () => {
    const { stream, marker } = withHole();
    stream.fill(marker, records(6, 5, 4, 3, 2), false);
    expect(shown(stream)).toEqual(["6", "5", "4", "3", "2", "1"]);
  });

  test("stays for what is still missing", () => {
    const { stream, marker } = withHole();
    stream.fill(marker, records(5), true);
    expect(shown(stream)).toEqual(["6", "5", "skipped 2", "2", "1"]);
  });

  test("says when it could not be loaded", () => {
    const { stream, marker } = withHole();
    stream.setSkipState(marker, "failed");
    expect((stream.at(1) as SkippedItem).state).toBe("failed");
  });
});

describe("a loss in the trading process", () => {
  const told: LogRecord = {
    ...record(9, 3.5),
    gap_reason: "overflow",
    gap_records: 12,
    gap_first_seq: 100,
    gap_last_seq: 111,
  };

  test("is shown where it was told of, once, from the record or the ledger", () => {
    const stream = streamOf(5, 4, 3);
    stream.receive([told]);
    stream.tellOfLosses([
      { time: at(3.5), strategy_id: null, boot: "b", first_seq: 100, last_seq: 111, count: 12, reason: "overflow" },
      { time: at(4.5), strategy_id: null, boot: "b", first_seq: 200, last_seq: 206, count: 7, reason: "rejected" },
    ]);
    expect(shown(stream)).toEqual(["5", "lost 7", "4", "lost 12", "3"]);
  });

  test("before the oldest record on screen waits until that time is loaded", () => {
    const stream = streamOf(5);
    const gap = { time: at(2), strategy_id: "a", boot: "b", first_seq: 1, last_seq: 2, count: 2, reason: "overflow" };
    stream.tellOfLosses([gap]);
    expect(shown(stream)).toEqual(["5"]);
    stream.appendOlder(records(1));
    stream.tellOfLosses([gap]);
    expect(shown(stream)).toEqual(["5", "lost 2", "1"]);
  });
});

test("a hundred thousand records are kept and found by position", { timeout: 30_000 }, () => {
  const stream = new LogStream(now);
  stream.reset([]);
  for (let seq = 0; seq < 100_500; seq += 500) {
    stream.receive(Array.from({ length: 500 }, (_, index) => record(seq + index, (seq + index) / 1_000)));
  }
  expect(stream.getState().rows).toBe(100_000);
  expect(stream.at(0)?.key).toBe("b:100499");
  expect(stream.at(99_999)?.key).toBe("b:500");
});
