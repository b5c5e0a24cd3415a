// The records that the viewer holds, outside React. The list asks it for the few rows it shows; queries, pages, the
// live tail and polling all feed it. Newest is position 0. What is being read never moves: while the list is held,
// new records wait.
import type { Gap, LogRecord } from "../api/client";
import { Deque } from "./deque";
import { type Item, itemOf, type LostItem, lostItem, type RowItem, type SkippedItem, skippedItem } from "./items";
import { compareInstants, type Instant } from "./time";

/** Records held; the oldest go first. */
export const CAPACITY = 100_000;
/** New records that wait while the list is held; beyond that the oldest of them are skipped, and can be loaded. */
export const WAITING_CAPACITY = 5_000;
/** How far back a late record is put in its place; streams are seldom more than a few records apart. */
const RATE_WINDOW_MS = 5_000;

export interface StreamState {
  length: number;
  rows: number;
  /** New records that wait. */
  waiting: number;
  held: boolean;
  newestMs: number | null;
  oldestMs: number | null;
  /** Live records a second, over the last seconds. */
  rate: number;
  version: number;
}

/** Above this many live records a second nobody reads along: the list is drawn less often, and calmly. */
const CALM_RATE = 50;
const CALM_MS = 400;

type Schedule = (run: () => void, delayMs: number) => void;

/** With the next frame after `delayMs`; a hidden page has no frames, and nobody to show them to. */
const nextFrame: Schedule = (run, delayMs) => {
  if (document.hidden) setTimeout(run, 1_000);
  else if (delayMs > 0) setTimeout(() => requestAnimationFrame(run), delayMs);
  else requestAnimationFrame(run);
};

export class LogStream {
  #items = new Deque<Item>();
  #keys = new Set<string>();
  #rows = 0;
  #waiting: (RowItem | LostItem)[] = [];
  #waitingFrom: Instant | null = null;
  #waitingSkipped = 0;
  #held = false;
  #arrivals: { at: number; count: number }[] = [];
  #listeners = new Set<() => void>();
  #due: { delayMs: number } | null = null;
  #state: StreamState;
  readonly #schedule: Schedule;
  readonly #capacity: number;
  readonly #waitingCapacity: number;

  constructor(schedule: Schedule = nextFrame, capacity = CAPACITY, waitingCapacity = WAITING_CAPACITY) {
    this.#schedule = schedule;
    this.#capacity = capacity;
    this.#waitingCapacity = waitingCapacity;
    this.#state = this.#snapshot(0);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getState = (): StreamState => this.#state;

  #snapshot(version: number): StreamState {
    const now = Date.now();
    this.#arrivals = this.#arrivals.filter((one) => now - one.at < RATE_WINDOW_MS);
    const arrived = this.#arrivals.reduce((sum, one) => sum + one.count, 0);
    return {
      length: this.#items.length,
      rows: this.#rows,
      waiting: this.#waiting.length + this.#waitingSkipped,
      held: this.#held,
      newestMs: this.#items.get(this.#items.length - 1)?.ms ?? null,
      oldestMs: this.#items.get(0)?.ms ?? null,
      rate: arrived / (RATE_WINDOW_MS / 1_000),
      version,
    };
  }

  /** Tell listeners soon: `live` changes may wait, what a person did may not. */
  #changed(live = false): void {
    const delayMs = live && this.#state.rate > CALM_RATE ? CALM_MS : 0;
    if (this.#due && this.#due.delayMs <= delayMs) return;
    const due = { delayMs };
    this.#due = due;
    this.#schedule(() => {
      if (this.#due !== due) return;
      this.#due = null;
      this.#state = this.#snapshot(this.#state.version + 1);
      for (const listener of this.#listeners) listener();
    }, delayMs);
  }

  /** Recount the rate, which falls while nothing arrives. */
  tick(): void {
    if (this.#arrivals.length > 0 || this.#state.rate > 0) this.#changed();
  }

  get full(): boolean {
    return this.#items.length >= this.#capacity;
  }

  /** Position 0 is the newest. */
  at(position: number): Item | undefined {
    return this.#items.get(this.#items.length - 1 - position);
  }

  positionOf(key: string): number {
    for (let position = 0; position < this.#items.length; position += 1)
      if (this.at(position)?.key === key) return position;
    return -1;
  }

  /** The newest instant known of, held back or not: where a poll or a new tail goes on. */
  newest(): Instant | null {
    return this.#waiting.at(-1) ?? this.#items.get(this.#items.length - 1) ?? null;
  }

  /** `_time` of the oldest record, as the API wrote it. */
  oldestTime(): string | null {
    for (let index = 0; index < this.#items.length; index += 1) {
      const item = this.#items.get(index);
      if (item?.kind === "row") return item.record._time;
    }
    return null;
  }

  /** Forget everything and begin with these records, newest first. */
  reset(records: readonly LogRecord[]): void {
    this.#items.clear();
    this.#keys.clear();
    this.#rows = 0;
    this.#waiting = [];
    this.#waitingFrom = null;
    this.#waitingSkipped = 0;
    this.#arrivals = [];
    this.appendOlder(records);
    this.#changed();
  }

  /** Older records, newest first, go to the end of the list. */
  appendOlder(records: readonly LogRecord[]): void {
    for (const record of records) {
      if (this.full) break;
      const item = itemOf(record);
      if (this.#keys.has(item.key)) continue;
      const oldest = this.#items.get(0);
      if (oldest && compareInstants(item, oldest) > 0) this.#place(item);
      else {
        this.#remember(item);
        this.#items.unshift(item);
      }
    }
    this.#changed();
  }

  #remember(item: Item): void {
    this.#keys.add(item.key);
    if (item.kind === "row") this.#rows += 1;
  }

  /** Put an item where its time belongs; among equals it is the newest. */
  #place(item: Item): void {
    if (this.#keys.has(item.key)) return;
    this.#remember(item);
    let index = this.#items.length;
    while (index > 0 && compareInstants(this.#items.get(index - 1) as Item, item) > 0) index -= 1;
    if (index === this.#items.length) this.#items.push(item);
    else this.#items.insert(index, item);
  }

  #evict(): void {
    while (this.#items.length > this.#capacity) {
      const gone = this.#items.shift();
      if (!gone) return;
      this.#keys.delete(gone.key);
      if (gone.kind === "row") this.#rows -= 1;
    }
  }

  /** New records; any that are known already are left out. `live` ones make the rate. Returns how many were new. */
  receive(records: readonly LogRecord[], live = true): number {
    const fresh: (RowItem | LostItem)[] = [];
    for (const record of records) {
      const item = itemOf(record);
      if (!this.#keys.has(item.key)) fresh.push(item);
    }
    fresh.sort(compareInstants);
    if (this.#held) this.#wait(fresh);
    else {
      for (const item of fresh) this.#place(item);
      this.#evict();
    }
    if (live && fresh.length > 0) this.#arrivals.push({ at: Date.now(), count: fresh.length });
    this.#changed(true);
    return fresh.length;
  }

  #wait(fresh: (RowItem | LostItem)[]): void {
    this.#waitingFrom ??= this.#items.get(this.#items.length - 1) ?? null;
    const known = new Set(this.#waiting.slice(-1_000).map((one) => one.key));
    for (const item of fresh) if (!known.has(item.key)) this.#waiting.push(item);
    const over = this.#waiting.length - this.#waitingCapacity;
    if (over > 0) {
      this.#waiting.splice(0, over);
      this.#waitingSkipped += over;
    }
  }

  /** The server left out `count` records (null: it does not know) between what came last and what comes next. */
  skip(count: number | null, until: Instant): void {
    const from = this.newest();
    if (!from) return;
    if (this.#held) {
      this.#waitingFrom ??= from;
      this.#waitingSkipped += count ?? 1;
    } else this.#place(skippedItem(from, until, count));
    this.#changed();
  }

  /** Hold the list while somebody reads; releasing it shows what has waited. */
  hold(held: boolean): void {
    if (held === this.#held) return;
    this.#held = held;
    if (!held) this.#release();
    this.#changed();
  }

  #release(): void {
    const [waiting, from, skipped] = [this.#waiting, this.#waitingFrom, this.#waitingSkipped];
    this.#waiting = [];
    this.#waitingFrom = null;
    this.#waitingSkipped = 0;
    const first = waiting[0];
    if (skipped > 0 && from && first) this.#place(skippedItem(from, first, skipped));
    for (const item of waiting) this.#place(item);
    this.#evict();
  }

  setSkipState(item: SkippedItem, state: SkippedItem["state"]): void {
    const index = this.#indexOf(item.key);
    if (index >= 0) this.#items.replace(index, { ...item, state });
    this.#changed();
  }

  #indexOf(key: string): number {
    const position = this.positionOf(key);
    return position < 0 ? -1 : this.#items.length - 1 - position;
  }

  /** Put the records that a skipped marker stands for in its place; `rest` are still missing below them. */
  fill(marker: SkippedItem, records: readonly LogRecord[], rest: boolean): void {
    const fresh = records.map(itemOf).filter((item) => !this.#keys.has(item.key));
    const all = this.#items.toArray().filter((item) => item.key !== marker.key);
    this.#keys.delete(marker.key);
    const oldest = records.at(-1);
    if (rest && oldest) {
      const left = marker.count === null ? null : Math.max(1, marker.count - fresh.length);
      const remaining = skippedItem(marker.from, itemOf(oldest), left);
      all.push(remaining);
      this.#keys.add(remaining.key);
    }
    for (const item of fresh) {
      all.push(item);
      this.#remember(item);
    }
    // Sorting is stable, so a marker stays behind the record it follows.
    all.sort(compareInstants);
    this.#items.clear();
    for (const item of all) this.#items.push(item);
    this.#evict();
    this.#changed();
  }

  /** Losses that the ledger tells of, within the time that the list covers. */
  tellOfLosses(gaps: readonly Gap[]): void {
    const oldest = this.#items.get(0);
    // Rows of a `stats` pipe have no time that a loss could stand beside.
    if (!oldest || oldest.ms === 0) return;
    for (const gap of gaps) {
      const item = lostItem(gap);
      if (compareInstants(item, oldest) >= 0) this.#place(item);
    }
    this.#changed();
  }
}
