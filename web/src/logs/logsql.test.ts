import { expect, test } from "vitest";
import { decodeFilter, encodeFilter, filterText, narrow, searchTerms, splitPipes, toggled } from "./logsql";

const component = { field: "component", value: "EMA", not: false };

test("a query without filters stays as typed", () => {
  expect(narrow("  order filled ", [])).toBe("order filled");
  expect(narrow("", [])).toBe("*");
});

test("an alternative stays together when a filter is added", () => {
  expect(narrow("buy or sell", [component])).toBe('(buy or sell) component:="EMA"');
});

test("filters go before the pipes", () => {
  expect(narrow("error | fields _time, _msg", [component])).toBe('(error) component:="EMA" | fields _time, _msg');
});

test("filters with a parameter of their own do not become part of the query, unless they exclude", () => {
  expect(narrow("", [{ field: "level", value: "ERROR", not: false }])).toBe("*");
  expect(narrow("", [{ field: "level", value: "DEBUG", not: true }])).toBe('!level:="DEBUG"');
});

test.each([
  ['"a | b" c | limit 1', '"a | b" c', "| limit 1"],
  ["_msg:~`a|b`", "_msg:~`a|b`", ""],
  ["(a | b)", "(a | b)", ""],
  ['"a\\" | b"', '"a\\" | b"', ""],
])("the pipes of %s begin outside quotes and brackets", (query, filter, pipes) => {
  expect(splitPipes(query)).toEqual([filter, pipes]);
});

test("a value cannot leave its quotes", () => {
  expect(filterText({ field: "a b", value: 'x" or *\\', not: true })).toBe('!"a b":="x\\" or *\\\\"');
});

test("words, phrases and prefixes are highlighted, other fields and what is excluded are not", () => {
  expect(searchTerms('order "was rejected" -cancelled !gone level:ERROR _msg:margin risk* or | limit 5')).toEqual([
    "order",
    "was rejected",
    "margin",
    "risk",
  ]);
});

test("a filter survives the URL", () => {
  for (const filter of [component, { field: "error", value: "a:=b", not: true }]) {
    expect(decodeFilter(encodeFilter(filter))).toEqual(filter);
  }
  expect(decodeFilter("nonsense")).toBeNull();
});

test("levels add up, components take each other's place, and a second click takes a filter away", () => {
  const is = (field: string, value: string, not = false) => ({ field, value, not });
  const both = toggled([is("level", "ERROR")], is("level", "WARNING"));
  expect(both).toEqual([is("level", "ERROR"), is("level", "WARNING")]);
  expect(toggled(both, is("level", "ERROR"))).toEqual([is("level", "WARNING")]);
  expect(toggled([is("component", "A"), is("component", "B", true)], is("component", "C"))).toEqual([
    is("component", "B", true),
    is("component", "C"),
  ]);
  expect(toggled([is("component", "A")], is("component", "A", true))).toEqual([is("component", "A", true)]);
});
