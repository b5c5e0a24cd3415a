import { expect, test } from "vitest";
import { formatSearch, fromView, parametersOf, parseSearch, type Search, scoped, toView } from "./search";

const preferred = { zone: "local", columns: ["strategy_id"] };
const search: Search = {
  q: 'order & "50%" | fields _time',
  start: "2026-01-21T21:00:00.000Z",
  end: "2026-01-21T22:00:00.000Z",
  strategyId: "ema_cross",
  filters: [
    { field: "level", value: "ERROR", not: false },
    { field: "level", value: "WARNING", not: false },
    { field: "component", value: "Risk, engine", not: true },
  ],
  columns: ["component", "order_id"],
  zone: "America/New_York",
  record: "7780aa:12",
  live: false,
};

test("a link shows what its sender saw", () => {
  expect(parseSearch(formatSearch(search, preferred), preferred)).toEqual(search);
});

test("a link does not depend on the preferences of who opens it", () => {
  const link = formatSearch({ ...search, columns: preferred.columns }, preferred, true);
  expect(parseSearch(link, { zone: "utc", columns: ["source"] }).columns).toEqual(preferred.columns);
});

test("the default search has an empty URL", () => {
  expect(formatSearch(parseSearch("", preferred), preferred)).toBe("");
});

test("nonsense in the URL falls back to the last hour", () => {
  const found = parseSearch("?start=tomorrow&end=never&f=x", preferred);
  expect([found.start, found.end, found.filters]).toEqual(["1h", "", []]);
});

test("nothing in the URL leads out of a scope", () => {
  const text = "?strategy_id=other&f=strategy_id:=other&f=!strategy_id:=ema_cross&q=strategy_id:other";
  const inside = scoped(parseSearch(text, preferred), { strategyId: "ema_cross" });
  expect(inside.strategyId).toBe("ema_cross");
  expect(inside.filters).toEqual([]);
  expect(parametersOf(inside, { startMs: 0, endMs: 1 }).strategy_id).toBe("ema_cross");
});

test("the API gets levels as parameters and other filters within the query", () => {
  const parameters = parametersOf(search, { startMs: 0, endMs: 3_600_000 });
  expect(parameters.level).toEqual(["ERROR", "WARNING"]);
  expect(parameters.q).toBe('(order & "50%") !component:="Risk, engine" | fields _time');
  expect(parameters.start).toBe("1970-01-01T00:00:00.000Z");
});

test("a view names values by field, as the API keeps them", () => {
  expect(toView(search).filters).toEqual({
    level: ["ERROR", "WARNING"],
    "!component": ["Risk, engine"],
    strategy_id: ["ema_cross"],
  });
});

test("a saved view brings everything back but the open record", () => {
  expect(fromView(toView(search), parseSearch("", preferred))).toEqual({ ...search, record: "" });
});
