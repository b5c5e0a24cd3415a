// Instants with nanoseconds, time zones, and ranges such as `15m`.

export interface Instant {
  /** Milliseconds since 1970. */
  ms: number;
  /** Nanoseconds below the millisecond. */
  sub: number;
}

const RFC3339 = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)$/;

/** Raises RangeError when `text` is not an RFC 3339 time. */
export function parseInstant(text: string): Instant {
  const match = RFC3339.exec(text);
  if (!match) throw new RangeError(`not an RFC 3339 time: ${text}`);
  const nanoseconds = (match[3] ?? "").padEnd(9, "0");
  const ms = Date.parse(`${match[1]}T${match[2]}.${nanoseconds.slice(0, 3)}${match[4]}`);
  return { ms, sub: Number(nanoseconds.slice(3)) };
}

export function compareInstants(a: Instant, b: Instant): number {
  return a.ms - b.ms || a.sub - b.sub;
}

export function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

/** As RFC 3339 with all nine digits, so that no record beside it slips in or out. */
export function exactly(instant: Instant): string {
  return `${new Date(instant.ms).toISOString().slice(0, -1)}${String(instant.sub).padStart(6, "0")}Z`;
}

const HOUR_MS = 3_600_000;
const AGE = /^(\d+)(s|m|h|d)$/;
const UNIT_MS: Record<string, number> = { s: 1_000, m: 60_000, h: HOUR_MS, d: 24 * HOUR_MS };

/** Milliseconds of an age such as `15m`; null when `text` is none. */
export function ageMs(text: string): number | null {
  const match = AGE.exec(text);
  return match ? Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? 0) : null;
}

export interface Window {
  startMs: number;
  endMs: number;
}

/** The absolute window of a range whose `start` is an age or a time, and whose `end` is a time or empty for now. */
export function windowOf(start: string, end: string, nowMs: number): Window {
  const endMs = end ? parseInstant(end).ms : nowMs;
  const age = ageMs(start);
  return { startMs: age === null ? parseInstant(start).ms : endMs - age, endMs };
}

export interface Zone {
  id: string;
  label: string;
  /** Milliseconds to add to UTC at this moment. */
  offsetMs(ms: number): number;
}

/** Exchanges by the time zone of their trading hours. */
export const EXCHANGES: readonly (readonly [zone: string, label: string])[] = [
  ["America/New_York", "NYSE, Nasdaq"],
  ["America/Chicago", "CME"],
  ["Europe/London", "LSE"],
  ["Europe/Berlin", "Xetra, Eurex"],
  ["Asia/Tokyo", "TSE"],
  ["Asia/Hong_Kong", "HKEX"],
  ["Australia/Sydney", "ASX"],
];

function namedOffset(zone: string): (ms: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  // Offsets change on quarter hours at most, and formatting is slow: a list asks for the same few of them.
  const known = new Map<number, number>();
  return (ms) => {
    const quarter = Math.floor(ms / 900_000);
    let offset = known.get(quarter);
    if (offset === undefined) {
      const at = quarter * 900_000;
      const part: Record<string, number> = {};
      for (const { type, value } of format.formatToParts(at)) part[type] = Number(value);
      const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
      offset = Date.UTC(year, month - 1, day, hour, minute, second) - at;
      if (known.size > 1_000) known.clear();
      known.set(quarter, offset);
    }
    return offset;
  };
}

const zones = new Map<string, Zone>();

/** `utc`, `local` or a name such as `America/New_York`; an unknown name is UTC. */
export function zoneOf(id: string): Zone {
  const known = zones.get(id);
  if (known) return known;
  let zone: Zone;
  if (id === "local") {
    zone = { id, label: "local", offsetMs: (ms) => -new Date(ms).getTimezoneOffset() * 60_000 };
  } else {
    try {
      const city = id.split("/").at(-1)?.replaceAll("_", " ") ?? id;
      zone = id === "utc" ? { id, label: "UTC", offsetMs: () => 0 } : { id, label: city, offsetMs: namedOffset(id) };
    } catch {
      return zoneOf("utc");
    }
  }
  zones.set(id, zone);
  return zone;
}

function wall(ms: number, zone: Zone): string {
  return new Date(ms + zone.offsetMs(ms)).toISOString();
}

export function dateText(ms: number, zone: Zone): string {
  return wall(ms, zone).slice(0, 10);
}

/** `14:03:07.512` */
export function clockText(ms: number, zone: Zone): string {
  return wall(ms, zone).slice(11, 23);
}

/** `14:03:07`, or `14:03` for whole minutes. */
export function shortClockText(ms: number, zone: Zone): string {
  return wall(ms, zone).slice(11, ms % 60_000 === 0 ? 16 : 19);
}

/** `2026-11-21 14:03:07` */
export function dateClockText(ms: number, zone: Zone): string {
  return wall(ms, zone).slice(0, 19).replace("T", " ");
}

/** `2026-11-21 14:03:07.512345678 +01:00` */
export function exactText(instant: Instant, zone: Zone): string {
  const offset = zone.offsetMs(instant.ms) / 60_000;
  const sign = offset < 0 ? "-" : "+";
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  const suffix = offset === 0 ? "Z" : ` ${sign}${String(hours).padStart(2, "0")}:${String(minutes).padStart(2, "0")}`;
  return `${wall(instant.ms, zone).slice(0, 23).replace("T", " ")}${String(instant.sub).padStart(6, "0")}${suffix}`;
}

const TYPED = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?$/;

/** The instant that a wall clock of the zone shows as `2026-11-21 14:03:07`; null when that is no time. Seconds may be left out. */
export function fromInput(text: string, zone: Zone): number | null {
  const match = TYPED.exec(text.trim());
  const asUtc = match ? Date.parse(`${match[1]}T${match[2]}${match[3] ?? ":00"}Z`) : Number.NaN;
  if (Number.isNaN(asUtc)) return null;
  // The offset is that of the instant looked for, so the first guess is corrected once (clock changes).
  return asUtc - zone.offsetMs(asUtc - zone.offsetMs(asUtc));
}

/** `3 s`, `4 min`, `2.5 h`, `3 d`: a span a person takes in at a glance. */
export function spanText(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Number((seconds / 3_600).toFixed(1))} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
