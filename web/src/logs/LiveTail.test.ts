import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LogRecord, QueryAnswer } from "../api/client";
import { unreachable } from "../api/problem";
import { LiveTail, POLL_MS, type TailReport } from "./LiveTail";
import { LogStream } from "./LogStream";

const api = vi.hoisted(() => ({ queryLogs: vi.fn(), sessionExpired: vi.fn() }));
vi.mock("../api/client", () => ({ ...api, queryString: () => "q=*" }));

const START = Date.parse("2026-01-21T22:00:00Z");
const record = (seq: number): LogRecord => ({
  _time: new Date(START + seq * 1_000).toISOString(),
  _msg: `record ${seq}`,
  boot: "b",
  seq,
});

function answer(rows: LogRecord[], truncated = false): QueryAnswer {
  return {
    rows,
    truncated,
    applied: { q: "*", start: "", end: "", limit: 500, strategy_id: null },
    clamped: [],
    next_before: null,
    took_ms: 1,
  };
}

/** A tail that a test writes to. */
function tailAnswer() {
  let sink: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      sink = controller;
    },
  });
  return {
    response: new Response(body, { headers: { "Content-Type": "text/event-stream" } }),
    say: (event: string, data: unknown) =>
      sink?.enqueue(new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)),
    end: () => sink?.close(),
  };
}

function refusal(status: number, title: string): Response {
  return new Response(JSON.stringify({ type: "urn:crowsnest:problem:x", title, status, hint: "wait" }), { status });
}

const tails: (() => Promise<Response>)[] = [];
const fetched =
  vi.fn<(url: string, options: { headers: Record<string, string>; signal: AbortSignal }) => Promise<Response>>();
let stream: LogStream;
let reports: TailReport[];
let tail: LiveTail;

const modes = () => reports.map((report) => report.mode);
const keys = () => Array.from({ length: stream.getState().length }, (_, position) => stream.at(position)?.key);
const settle = () => vi.advanceTimersByTimeAsync(20);

beforeEach(() => {
  vi.useFakeTimers({ now: START + 60_000 });
  tails.length = 0;
  reports = [];
  api.queryLogs.mockReset().mockResolvedValue(answer([]));
  api.sessionExpired.mockReset();
  fetched.mockReset().mockImplementation(() => tails.shift()?.() ?? Promise.reject(new TypeError("refused")));
  vi.stubGlobal("fetch", fetched);
  stream = new LogStream((run) => run(), 1_000, 100);
  stream.reset([record(2), record(1)]);
  tail = new LiveTail(stream, (report) => reports.push(report));
});

afterEach(() => {
  tail.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("it goes on where the query ended, and takes what comes", async () => {
  const served = tailAnswer();
  tails.push(async () => served.response);
  tail.start({ q: "*" });
  await settle();
  expect(fetched.mock.calls[0]?.[1].headers["Last-Event-ID"]).toBe("2026-01-21T22:00:02.000000000Z");
  served.say("records", [record(3), record(4)]);
  await settle();
  expect(modes()).toEqual(["connecting", "streaming"]);
  expect(keys()).toEqual(["b:4", "b:3", "b:2", "b:1"]);
});

test("with nothing found yet it looks back, as the store shows records late", async () => {
  stream.reset([]);
  tails.push(async () => tailAnswer().response);
  tail.start({});
  await settle();
  expect(fetched.mock.calls[0]?.[1].headers["Last-Event-ID"]).toBe("2026-01-21T22:00:00.000000000Z");
  expect(api.queryLogs.mock.lastCall?.[0]).toMatchObject({ start: "2026-01-21T22:00:00.000Z" });
});

test("what arrived before the tail was open is fetched once it is", async () => {
  tails.push(async () => tailAnswer().response);
  api.queryLogs.mockResolvedValue(answer([record(3), record(2)]));
  tail.start({});
  await settle();
  expect(keys()).toEqual(["b:3", "b:2", "b:1"]);
});

test("records that the server skipped stand as one row before the next", async () => {
  const served = tailAnswer();
  tails.push(async () => served.response);
  tail.start({});
  await settle();
  served.say("skipped", { count: 5 });
  served.say("skipped", { count: 2 });
  served.say("records", [record(10)]);
  await settle();
  expect(stream.at(1)).toMatchObject({ kind: "skipped", count: 7 });
});

test("a refused tail becomes a poll every five seconds, then is tried again", async () => {
  tails.push(async () => refusal(429, "You have 4 live tails open"));
  tail.start({});
  await settle();
  expect(reports.at(-1)).toMatchObject({ mode: "polling", problem: { title: "You have 4 live tails open" } });
  api.queryLogs.mockResolvedValue(answer([record(3)]));
  await vi.advanceTimersByTimeAsync(POLL_MS);
  expect(keys()[0]).toBe("b:3");
  const before = api.queryLogs.mock.calls.length;
  await vi.advanceTimersByTimeAsync(2 * POLL_MS);
  expect(api.queryLogs.mock.calls.length).toBe(before + 2);
  tails.push(async () => tailAnswer().response);
  await vi.advanceTimersByTimeAsync(30_000);
  expect(modes().at(-1)).toBe("streaming");
});

test("a poll that finds more than it may fetch leaves a row that says so", async () => {
  tails.push(async () => refusal(429, "busy"));
  api.queryLogs.mockResolvedValue(answer([record(9), record(8)], true));
  tail.start({});
  await settle();
  expect(stream.at(2)).toMatchObject({ kind: "skipped", count: null });
});

test("an API that is away is asked again until it is back", async () => {
  api.queryLogs.mockRejectedValue(unreachable());
  tail.start({});
  await settle();
  expect(modes().at(-1)).toBe("failing");
  api.queryLogs.mockResolvedValue(answer([record(3)]));
  tails.push(async () => tailAnswer().response);
  await vi.advanceTimersByTimeAsync(POLL_MS + 100);
  expect(modes().at(-1)).toBe("streaming");
  expect(keys()[0]).toBe("b:3");
});

test("a tail that falls silent is opened anew", async () => {
  tails.push(async () => tailAnswer().response);
  tail.start({});
  await settle();
  // The stub does not know the signal, so the alarm is seen in the request's.
  const signal = fetched.mock.calls[0]?.[1].signal;
  await vi.advanceTimersByTimeAsync(34_000);
  expect(signal?.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(signal?.aborted).toBe(true);
});

test("a query that cannot be followed is told of, and not tried again", async () => {
  tails.push(async () => refusal(400, "The query uses a pipe"));
  tail.start({});
  await settle();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(fetched).toHaveBeenCalledTimes(1);
  expect(reports.at(-1)).toMatchObject({ mode: "failing", problem: { hint: "wait" } });
});

test("a tail that broke is opened again at the next poll", async () => {
  const served = tailAnswer();
  tails.push(async () => served.response);
  tail.start({});
  await settle();
  tails.push(async () => tailAnswer().response);
  served.say("problem", { type: "urn:crowsnest:problem:store-unavailable", title: "away", status: 503 });
  await vi.advanceTimersByTimeAsync(POLL_MS + 100);
  expect(modes().slice(-2)).toEqual(["polling", "streaming"]);
});

test("a problem within the stream counts like a refusal", async () => {
  const served = tailAnswer();
  tails.push(async () => served.response);
  tail.start({});
  await settle();
  served.say("problem", { type: "urn:crowsnest:problem:store-unavailable", title: "away", status: 503 });
  await settle();
  expect(reports.at(-1)).toMatchObject({ mode: "polling", problem: { title: "away" } });
});

test("an ended session ends the tail", async () => {
  tails.push(async () => refusal(401, "You are not logged in"));
  tail.start({});
  await settle();
  expect(api.sessionExpired).toHaveBeenCalledOnce();
});

test("stopped, it is silent", async () => {
  const served = tailAnswer();
  tails.push(async () => served.response);
  tail.start({});
  await settle();
  tail.stop();
  served.say("records", [record(9)]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(modes().at(-1)).toBe("off");
  expect(keys()[0]).toBe("b:2");
});
