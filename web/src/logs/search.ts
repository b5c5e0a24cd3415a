// What is looked at: query, range, filters, columns, time zone. It is the URL, so a link shows what its sender saw.
import type { LogParameters, ViewQuery } from "../api/client";
import { decodeFilter, encodeFilter, type Filter, isParameterField, narrow } from "./logsql";
import { ageMs, parseInstant, rfc3339, type Window } from "./time";

export interface Search {
  q: string;
  /** An age such as `1h`, or RFC 3339. */
  start: string;
  /** RFC 3339, or empty for now. */
  end: string;
  strategyId: string;
  filters: Filter[];
  columns: string[];
  zone: string;
  /** Time and key of the record that a link points at. */
  record: string;
  live: boolean;
}

/** What names a record in a link: its time leads to the page that has it. */
export function recordReference(time: string, key: string): string {
  return `${time}~${key}`;
}

export function parseReference(reference: string): { time: string; key: string } | null {
  const at = reference.indexOf("~");
  return at > 0 ? { time: reference.slice(0, at), key: reference.slice(at + 1) } : null;
}

/** What a panel is bound to. Nothing that a person types, clicks or puts into the URL changes it. */
export interface Scope {
  readonly strategyId: string;
}

export const DEFAULT_START = "1h";
export const DEFAULT_COLUMNS: readonly string[] = ["strategy_id", "component"];
export const MAX_RANGE_HOURS = 24;
/** Rows of one answer; the API's own limit is 500. */
export const PAGE_ROWS = 200;
export const MAX_PAGE_ROWS = 500;

function validTime(text: string): boolean {
  try {
    parseInstant(text);
    return true;
  } catch {
    return false;
  }
}

export function parseSearch(text: string, preferred: { zone: string; columns: string[] }): Search {
  const given = new URLSearchParams(text);
  const start = given.get("start") ?? "";
  const end = given.get("end") ?? "";
  const columns = given.get("columns");
  return {
    q: given.get("q") ?? "",
    start: ageMs(start) !== null || validTime(start) ? start : DEFAULT_START,
    end: validTime(end) ? end : "",
    strategyId: given.get("strategy_id") ?? "",
    filters: given.getAll("f").flatMap((one) => decodeFilter(one) ?? []),
    columns: columns === null ? preferred.columns : columns.split(",").filter(Boolean),
    zone: given.get("tz") ?? preferred.zone,
    record: given.get("record") ?? "",
    // Who opens the viewer wants to see what happens; who opens a link to a time wants that time.
    live: !validTime(end) && given.get("live") !== "0",
  };
}

/** The shortest query string that parses to the same search; `whole` also names what equals a person's preferences. */
export function formatSearch(search: Search, preferred: { zone: string; columns: string[] }, whole = false): string {
  const given = new URLSearchParams();
  if (search.q) given.set("q", search.q);
  if (search.start !== DEFAULT_START || search.end) given.set("start", search.start);
  if (search.end) given.set("end", search.end);
  if (search.strategyId) given.set("strategy_id", search.strategyId);
  for (const one of search.filters) given.append("f", encodeFilter(one));
  if (whole || search.columns.join() !== preferred.columns.join()) given.set("columns", search.columns.join());
  // "Local" is another time for whoever opens a link: they see their own.
  if (whole ? search.zone !== "local" : search.zone !== preferred.zone) given.set("tz", search.zone);
  if (search.record) given.set("record", search.record);
  if (!search.live && !search.end) given.set("live", "0");
  const text = given.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%2F", "/");
  return text ? `?${text}` : "";
}

/** The search as seen from within a scope: what would lead out of it, or is pointless in it, is gone. */
export function scoped(search: Search, scope: Scope | null): Search {
  if (!scope) return search;
  return {
    ...search,
    strategyId: scope.strategyId,
    filters: search.filters.filter((one) => one.field !== "strategy_id"),
  };
}

/** What the API is asked for a search within an absolute window. */
export function parametersOf(search: Pick<Search, "q" | "strategyId" | "filters">, window: Window): LogParameters {
  const parameters: LogParameters = {
    q: narrow(search.q, search.filters),
    start: rfc3339(window.startMs),
    end: rfc3339(window.endMs),
  };
  if (search.strategyId) parameters.strategy_id = search.strategyId;
  for (const { field, value, not } of search.filters) {
    if (not || !isParameterField(field)) continue;
    parameters[field] = [...(parameters[field] ?? []), value];
  }
  return parameters;
}

export function toView(search: Search): ViewQuery {
  const filters: Record<string, string[]> = {};
  const strategy = search.strategyId ? [{ field: "strategy_id", value: search.strategyId, not: false }] : [];
  for (const { field, value, not } of [...search.filters, ...strategy]) {
    const name = not ? `!${field}` : field;
    filters[name] = [...(filters[name] ?? []), value];
  }
  return {
    q: search.q || "*",
    start: search.start,
    end: search.end || null,
    filters,
    columns: search.columns,
    timezone: search.zone,
  };
}

export function fromView(view: ViewQuery, current: Search): Search {
  const filters = Object.entries(view.filters ?? {}).flatMap(([name, values]) =>
    values.map((value) => ({ field: name.replace(/^!/, ""), value, not: name.startsWith("!") })),
  );
  const strategy = filters.find((one) => one.field === "strategy_id" && !one.not);
  return {
    ...current,
    q: view.q === "*" ? "" : (view.q ?? ""),
    start: view.start || DEFAULT_START,
    end: view.end ?? "",
    strategyId: strategy?.value ?? "",
    filters: filters.filter((one) => one !== strategy),
    columns: view.columns ?? current.columns,
    zone: view.timezone || current.zone,
    record: "",
    live: !view.end,
  };
}
