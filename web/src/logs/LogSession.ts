// One viewer's records: runs the query, loads older pages, and keeps the live tail. Outside React; a page shows its state.
import { type Clamp, findLoss, type Gap, type LogParameters, type QueryAnswer, queryLogs } from "../api/client";
import { asProblem, isAbort, type Problem } from "../api/problem";
import type { SkippedItem } from "./items";
import { LiveTail, type TailMode } from "./LiveTail";
import { LogStream } from "./LogStream";
import { MAX_PAGE_ROWS, PAGE_ROWS } from "./search";
import { exactly, rfc3339, type Window } from "./time";

/** Records that one click on "skipped" brings back at most. */
const FILL_ROWS = 2_000;
const RETRY_MS = 3_000;

export interface SessionState {
  phase: "loading" | "ready" | "failed";
  problem: Problem | null;
  clamped: Clamp[];
  /** Absolute window of the last answer. */
  window: Window | null;
  tookMs: number | null;
  older: "idle" | "loading" | "failed" | "none" | "full";
  tail: TailMode;
  tailProblem: Problem | null;
  lost: number | null;
  gaps: Gap[];
  run: number;
}

const NOTHING: SessionState = {
  phase: "loading",
  problem: null,
  clamped: [],
  window: null,
  tookMs: null,
  older: "idle",
  tail: "off",
  tailProblem: null,
  lost: null,
  gaps: [],
  run: 0,
};

export interface Request {
  parameters: LogParameters;
  window: Window;
}

export class LogSession {
  readonly stream = new LogStream();
  #state = NOTHING;
  #listeners = new Set<() => void>();
  #call: AbortController | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #before: string | null = null;
  #parameters: LogParameters = {};
  readonly #tail = new LiveTail(this.stream, ({ mode, problem }) => this.#set({ tail: mode, tailProblem: problem }));

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getState = (): SessionState => this.#state;

  #set(change: Partial<SessionState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }

  /** Run a query anew. Records on screen stay until the answer is here. Each try asks `request` what "now" means. */
  run(request: () => Request, live: boolean): void {
    this.close();
    const call = new AbortController();
    this.#call = call;
    const { window } = request();
    this.#set({
      phase: "loading",
      run: this.#state.run + 1,
      window,
      tail: live ? "connecting" : "off",
      tailProblem: null,
    });
    void this.#load(request, live, call.signal);
  }

  async #load(request: () => Request, live: boolean, signal: AbortSignal): Promise<void> {
    const { parameters, window } = request();
    this.#parameters = parameters;
    try {
      const answer = await queryLogs({ ...parameters, limit: PAGE_ROWS }, signal);
      if (signal.aborted) return;
      this.#show(answer, window);
      if (live) this.#tail.start(parameters);
      await this.#askForLosses(parameters, signal);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      const problem = asProblem(error);
      this.#set({ phase: "failed", problem, tail: "off" });
      if (problem.passes && problem.status !== 401) {
        const wait = Math.max(RETRY_MS, (problem.retryAfterSeconds ?? 0) * 1_000);
        this.#retry = setTimeout(() => void this.#load(request, live, signal), wait);
      }
    }
  }

  #show(answer: QueryAnswer, window: Window): void {
    this.stream.reset(answer.rows);
    this.#before = answer.next_before;
    this.#set({
      phase: "ready",
      problem: null,
      clamped: answer.clamped.filter((one) => one.what !== "limit"),
      window: appliedWindow(answer, window),
      tookMs: answer.took_ms,
      older: answer.next_before ? "idle" : "none",
    });
  }

  /** What the trading processes say they lost in this window. The list is as useful without it. */
  async #askForLosses(parameters: LogParameters, signal: AbortSignal): Promise<void> {
    try {
      const { start, end, strategy_id } = parameters;
      const scope: LogParameters = {};
      if (start) scope.start = start;
      if (end) scope.end = end;
      if (strategy_id) scope.strategy_id = strategy_id;
      const loss = await findLoss(scope, signal);
      if (signal.aborted) return;
      this.#set({ lost: loss.lost_total, gaps: loss.gaps });
      this.stream.tellOfLosses(loss.gaps);
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.#set({ lost: null, gaps: [] });
    }
  }

  /** Look for losses again, up to now; a live page does so every few seconds. */
  refreshLosses(startMs: number): void {
    const call = this.#call;
    if (!call || this.#state.phase !== "ready") return;
    const parameters = { ...this.#parameters, start: rfc3339(startMs), end: rfc3339(Date.now()) };
    void this.#askForLosses(parameters, call.signal);
  }

  /** The next page of older records. */
  async loadOlder(): Promise<void> {
    const call = this.#call;
    if (!call || !this.#before || this.#state.phase !== "ready") return;
    if (this.#state.older === "loading" || this.#state.older === "none") return;
    if (this.stream.full) return this.#set({ older: "full" });
    this.#set({ older: "loading" });
    try {
      const answer = await queryLogs({ ...this.#parameters, limit: MAX_PAGE_ROWS, before: this.#before }, call.signal);
      if (call.signal.aborted) return;
      this.stream.appendOlder(answer.rows);
      this.stream.tellOfLosses(this.#state.gaps);
      this.#before = answer.next_before;
      this.#set({ older: answer.next_before ? "idle" : "none" });
    } catch (error) {
      if (!call.signal.aborted && !isAbort(error)) this.#set({ older: "failed" });
    }
  }

  /** Fetch what a "skipped" row stands for. */
  async fill(marker: SkippedItem): Promise<void> {
    const call = this.#call;
    if (!call || marker.state === "loading") return;
    this.stream.setSkipState(marker, "loading");
    try {
      const records = [];
      let before: string | null = null;
      do {
        const answer: QueryAnswer = await queryLogs(
          {
            ...this.#parameters,
            start: exactly(marker.from),
            end: exactly(marker.to),
            limit: MAX_PAGE_ROWS,
            ...(before ? { before } : {}),
          },
          call.signal,
        );
        records.push(...answer.rows);
        before = answer.next_before;
      } while (before && records.length < FILL_ROWS);
      if (!call.signal.aborted) this.stream.fill(marker, records, before !== null);
    } catch (error) {
      if (!call.signal.aborted && !isAbort(error)) this.stream.setSkipState(marker, "failed");
    }
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#call?.abort();
    this.#call = null;
    this.#tail.stop();
  }
}

/** The window that the API answered for, which may be narrower than the one asked for. */
function appliedWindow(answer: QueryAnswer, asked: Window): Window {
  const startMs = Date.parse(answer.applied.start);
  const endMs = Date.parse(answer.applied.end);
  return Number.isNaN(startMs) || Number.isNaN(endMs) ? asked : { startMs, endMs };
}
