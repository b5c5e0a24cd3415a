// Server-sent events out of chunks of text. `EventSource` would hide the problem+json of a refused tail.

export interface ServerEvent {
  event: string;
  data: string;
  id: string;
}

/** A chunk may end anywhere, also within a line ending. Call it with each chunk; it returns the events that are complete. */
export function eventParser(): (chunk: string) => ServerEvent[] {
  let rest = "";
  let event = "";
  let data: string[] = [];
  let id = "";

  function take(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (data.length > 0) events.push({ event: event || "message", data: data.join("\n"), id });
      event = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id") id = value;
  }

  return (chunk) => {
    const events: ServerEvent[] = [];
    const text = rest + chunk;
    // A carriage return at the end may be half of a line ending.
    const held = text.endsWith("\r") ? 1 : 0;
    const lines = text.slice(0, text.length - held).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? "") + (held ? "\r" : "");
    for (const line of lines) take(line, events);
    return events;
  };
}
