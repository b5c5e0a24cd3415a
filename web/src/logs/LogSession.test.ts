import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LogRecord, QueryAnswer } from "../api/client";
import { Problem, unreachable } from "../api/problem";
import type { SkippedItem } from "./items";
import { LogSession } from "./LogSession";

const api = vi.hoisted(() => ({ queryLogs: vi.fn(), findLoss: vi.fn(), sessionExpired: vi.fn() }));
vi.mock("../api/client", () => ({ ...api, queryString: () => "" }));

const START = Date.parse("2026-01-21T22:00:00Z");
const at = (seconds: number) => new Date(START + seconds * 1_000).toISOString();
const record = (seq: number): LogRecord => ({ _time: at(seq), _msg: `record ${seq}`, boot: "b", seq });
const records = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, index) => record(from - index));

function answer(rows: LogRecord[], next: string | null = null): QueryAnswer {
  const applied = { q: "*", start: at(0), end: at(3_600), limit: 200, strategy_id: null };
  return { rows, applied, clamped: [], truncated: next !== null, next_before: next, took_ms: 3 };
}

const NO_LOSS = { lost_total: 0, gaps: [], checked: { start: at(0), end: at(3_600) }, truncated: false };
const window = { startMs: START, endMs: START + 3_600_000 };
let now = 0;
const request = () => ({ parameters: { q: "*", start: at(now), end: at(3_600 + now) }, window });
const settle = () => vi.advanceTimersByTimeAsync(50);

let session: LogSession;
const keys = () =>
  Array.from({ length: session.stream.getState().length }, (_, position) => session.stream.at(position)?.key);

beforeEach(() => {
  vi.useFakeTimers();
  now = 0;
  vi.stubGlobal("document", { hidden: false });
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => setTimeout(run, 16));
  api.queryLogs.mockReset().mockResolvedValue(answer(records(5, 1)));
  api.findLoss.mockReset().mockResolvedValue(NO_LOSS);
  session = new LogSession();
});

afterEach(() => {
  session.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a query shows its records, and what the ledger says about losses", async () => {
  session.run(request, false);
  expect(session.getState().phase).toBe("loading");
  await settle();
  expect(session.getState()).toMatchObject({ phase: "ready", older: "none", lost: 0, tookMs: 3 });
  expect(keys()).toEqual(["b:5", "b:4", "b:3", "b:2", "b:1"]);
});

test("the window is the one that the API answered for", async () => {
  const narrower = { ...answer(records(2, 1)), clamped: [{ what: "range" as const, asked: 7_200, given: 3_600 }] };
  api.queryLogs.mockResolvedValue(narrower);
  session.run(() => ({ ...request(), window: { startMs: START - 3_600_000, endMs: START + 3_600_000 } }), false);
  await settle();
  expect(session.getState().window).toEqual(window);
  expect(session.getState().clamped).toHaveLength(1);
});

test("older pages follow one another until there are none", async () => {
  api.queryLogs.mockResolvedValueOnce(answer(records(9, 7), at(7)));
  session.run(request, false);
  await settle();
  api.queryLogs.mockResolvedValueOnce(answer(records(6, 5), at(5))).mockResolvedValueOnce(answer(records(4, 4)));
  await session.loadOlder();
  expect(api.queryLogs.mock.lastCall?.[0]).toMatchObject({ before: at(7) });
  await session.loadOlder();
  await session.loadOlder();
  await settle();
  expect(api.queryLogs).toHaveBeenCalledTimes(3);
  expect(session.getState().older).toBe("none");
  expect(keys()).toHaveLength(6);
});

test("a page that fails can be asked for again", async () => {
  api.queryLogs.mockResolvedValueOnce(answer(records(9, 7), at(7))).mockRejectedValueOnce(unreachable());
  session.run(request, false);
  await settle();
  await session.loadOlder();
  expect(session.getState().older).toBe("failed");
  await session.loadOlder();
  expect(session.getState().older).toBe("none");
});

test("a failed query keeps what is on the screen and tries again with the time of the new try", async () => {
  session.run(request, false);
  await settle();
  api.queryLogs.mockRejectedValueOnce(unreachable());
  session.run(request, false);
  await settle();
  expect(session.getState()).toMatchObject({ phase: "failed" });
  expect(keys()).toHaveLength(5);
  now = 60;
  await vi.advanceTimersByTimeAsync(3_100);
  expect(session.getState()).toMatchObject({ phase: "ready", problem: null });
  expect(api.queryLogs.mock.lastCall?.[0]).toMatchObject({ start: at(60) });
});

test("a query that is wrong is not tried again", async () => {
  api.queryLogs.mockRejectedValue(new Problem({ type: "x", title: "not LogsQL", status: 400 }));
  session.run(request, false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(api.queryLogs).toHaveBeenCalledOnce();
});

test("the API's Retry-After is kept", async () => {
  api.queryLogs.mockRejectedValueOnce(new Problem({ type: "x", title: "too many", status: 429 }, 20));
  session.run(request, false);
  await vi.advanceTimersByTimeAsync(19_000);
  expect(api.queryLogs).toHaveBeenCalledOnce();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(session.getState().phase).toBe("ready");
});

test("an answer that comes after another query began is not shown", async () => {
  let late: (answer: QueryAnswer) => void = () => {};
  api.queryLogs.mockReturnValueOnce(new Promise<QueryAnswer>((resolve) => (late = resolve)));
  session.run(request, false);
  session.run(request, false);
  await settle();
  late(answer(records(99, 98)));
  await settle();
  expect(keys()[0]).toBe("b:5");
});

test("skipped records are fetched page by page, and what is left stays told of", async () => {
  session.run(request, false);
  await settle();
  session.stream.skip(5_000, { ms: START + 6_000_000, sub: 0 });
  session.stream.receive([record(6_000)]);
  await settle();
  const marker = session.stream.at(1) as SkippedItem;
  let newest = 5_999;
  api.queryLogs.mockImplementation(async () => {
    newest -= 500;
    return answer(records(newest + 500, newest + 1), at(newest + 1));
  });
  await session.fill(marker);
  await settle();
  expect(session.stream.getState().rows).toBe(2_006);
  expect(session.stream.at(2_001)).toMatchObject({ kind: "skipped", count: 3_000 });
});

test("without an answer about losses the list is as useful", async () => {
  api.findLoss.mockRejectedValue(unreachable());
  session.run(request, false);
  await settle();
  expect(session.getState()).toMatchObject({ phase: "ready", lost: null });
});
