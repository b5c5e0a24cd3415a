import { expect, test } from "vitest";
import { eventParser } from "./sse";

const TEXT =
  'event: records\nid: 5\ndata: [1,\ndata: 2]\n\n: comment\nevent: skipped\r\ndata: {"count":3}\r\n\r\ndata: ü\n\n';

test.each([1, 2, 3, 7, 1_000])("events come out whole when chunks have %i characters", (size) => {
  const parse = eventParser();
  const events = [];
  for (let at = 0; at < TEXT.length; at += size) events.push(...parse(TEXT.slice(at, at + size)));
  expect(events.map(({ event, data }) => [event, data])).toEqual([
    ["records", "[1,\n2]"],
    ["skipped", '{"count":3}'],
    ["message", "ü"],
  ]);
  expect(events[0]?.id).toBe("5");
});

test("an event that has not ended is kept back", () => {
  const parse = eventParser();
  expect(parse("data: half")).toEqual([]);
  expect(parse("\n\n")).toEqual([{ event: "message", data: "half", id: "" }]);
});
