// New records as they arrive: by server-sent events, and by a poll every five seconds while those cannot be had.
import { type LogParameters, type LogRecord, queryLogs, queryString, sessionExpired } from "../api/client";
import { asProblem, isAbort, Problem, problemOf, unreachable } from "../api/problem";
import { eventParser, type ServerEvent } from "../api/sse";
import { exactly, type Instant, parseInstant, rfc3339 } from "./time";

export const POLL_MS = 5_000;
/** A poll looks back this far, for records that reached the store late. Known ones are told apart by their key. */
const OVERLAP_MS = 5_000;
/** How far back a tail begins when nothing was found yet: the store shows a record a second or more after it was made. */
const FIRST_LOOK_BACK_MS = 60_000;
const POLL_ROWS = 500;
/** Heartbeats come every 15 s; a tail that is silent for longer than two of them is dead. */
const SILENCE_MS = 35_000;
/** How soon a tail that was refused is tried again; one that broke, at the next poll. */
const RETRY_REFUSED_MS = 15_000;

export type TailMode = "off" | "connecting" | "streaming" | "polling" | "failing";

export interface TailReport {
  mode: TailMode;
  problem: Problem | null;
}

export interface TailSink {
  receive(records: readonly LogRecord[], live?: boolean): number;
  skip(count: number | null, until: Instant): void;
  newest(): Instant | null;
}

export class LiveTail {
  #stop: AbortController | null = null;
  readonly #sink: TailSink;
  readonly #report: (report: TailReport) => void;

  constructor(sink: TailSink, report: (report: TailReport) => void) {
    this.#sink = sink;
    this.#report = report;
  }

  /** Begin, or begin anew with other parameters; `start` and `end` in them are not used. */
  start(parameters: LogParameters): void {
    this.stop();
    const stop = new AbortController();
    this.#stop = stop;
    const { start: _start, end: _end, ...filters } = parameters;
    void this.#run(filters, stop.signal);
  }

  stop(): void {
    if (!this.#stop) return;
    this.#stop.abort();
    this.#stop = null;
    this.#report({ mode: "off", problem: null });
  }

  async #run(filters: LogParameters, stop: AbortSignal): Promise<void> {
    let begun = new Date();
    let fresh = true;
    while (!stop.aborted) {
      try {
        if (fresh) this.#report({ mode: "connecting", problem: null });
        await this.#stream(filters, stop, async () => {
          // What arrived between the query and this moment, or while the tail was away.
          await this.#poll(filters, begun, stop, false);
        });
        fresh = true;
        await pause(250, stop);
      } catch (error) {
        if (stop.aborted || isAbort(error)) return;
        const problem = asProblem(error);
        if (problem.status === 401) return sessionExpired();
        if (!problem.passes) return this.#report({ mode: "failing", problem });
        await this.#pollFor(filters, begun, this.#opened ? POLL_MS : RETRY_REFUSED_MS, problem, stop);
        fresh = false;
      }
      begun = new Date();
    }
  }

  /** Read one tail to its end. Ends normally when the server closed it, else raises the problem. */
  async #stream(filters: LogParameters, stop: AbortSignal, opened: () => Promise<void>): Promise<void> {
    const silence = new AbortController();
    let alarm = setTimeout(() => silence.abort(), SILENCE_MS);
    const signal = AbortSignal.any([stop, silence.signal]);
    const newest = this.#sink.newest() ?? { ms: Date.now() - FIRST_LOOK_BACK_MS, sub: 0 };
    this.#opened = false;
    try {
      const response = await open(filters, newest, signal);
      this.#opened = true;
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      if (!reader) throw unreachable();
      this.#report({ mode: "streaming", problem: null });
      await opened();
      const parse = eventParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || stop.aborted) return;
        clearTimeout(alarm);
        alarm = setTimeout(() => silence.abort(), SILENCE_MS);
        for (const event of parse(value)) this.#take(event);
      }
    } catch (error) {
      if (stop.aborted) throw error;
      throw isAbort(error) || error instanceof TypeError ? unreachable() : error;
    } finally {
      clearTimeout(alarm);
    }
  }

  #skipped: number | null = 0;
  #opened = false;

  #take(event: ServerEvent): void {
    if (event.event === "records") {
      const records = JSON.parse(event.data) as LogRecord[];
      const first = records[0];
      if (first && this.#skipped !== 0) {
        this.#sink.skip(this.#skipped, instantOf(first));
        this.#skipped = 0;
      }
      this.#sink.receive(records);
    } else if (event.event === "skipped") {
      const count = (JSON.parse(event.data) as { count?: number }).count ?? null;
      this.#skipped = count === null || this.#skipped === null ? null : this.#skipped + count;
    } else if (event.event === "problem") {
      throw new Problem(JSON.parse(event.data));
    }
  }

  async #poll(filters: LogParameters, begun: Date, stop: AbortSignal, live = true): Promise<void> {
    const newest = this.#sink.newest();
    const startMs = newest ? newest.ms - OVERLAP_MS : begun.getTime() - FIRST_LOOK_BACK_MS;
    const end = rfc3339(Date.now() + 1_000);
    const answer = await queryLogs({ ...filters, start: rfc3339(startMs), end, limit: POLL_ROWS }, stop);
    if (stop.aborted) return;
    const oldest = answer.rows.at(-1);
    if (answer.truncated && oldest && newest && instantOf(oldest).ms > newest.ms)
      this.#sink.skip(null, instantOf(oldest));
    this.#sink.receive(answer.rows, live);
  }

  async #pollFor(
    filters: LogParameters,
    begun: Date,
    spanMs: number,
    cause: Problem,
    stop: AbortSignal,
  ): Promise<void> {
    const until = Date.now() + spanMs;
    let problem = cause;
    while (!stop.aborted && Date.now() < until) {
      try {
        await this.#poll(filters, begun, stop);
        if (problem !== cause) return; // It answers again: the tail may, too.
        this.#report({ mode: "polling", problem: cause });
      } catch (error) {
        if (stop.aborted || isAbort(error)) return;
        problem = asProblem(error);
        if (problem.status === 401) return sessionExpired();
        this.#report({ mode: "failing", problem });
      }
      await pause(POLL_MS, stop);
    }
  }
}

async function open(filters: LogParameters, newest: Instant, signal: AbortSignal): Promise<Response> {
  const headers = { Accept: "text/event-stream", "Last-Event-ID": exactly(newest) };
  const response = await fetch(`/api/logs/tail?${queryString({ ...filters })}`, {
    headers,
    signal,
    credentials: "same-origin",
  });
  if (response.ok) return response;
  let body: unknown = null;
  try {
    body = await response.json();
  } catch {
    // A gateway's own error page; its status says enough.
  }
  throw problemOf(response, body);
}

function instantOf(record: LogRecord): Instant {
  return parseInstant(record._time);
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
