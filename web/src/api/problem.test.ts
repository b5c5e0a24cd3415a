import { describe, expect, it } from "vitest";
import { Problem, problemOf, unreachable } from "./problem";

const answered = (status: number) => new Problem({ type: "urn:crowsnest:problem:any", title: "any", status });

describe("Problem", () => {
  it("passes by itself when the other side may come back, not when this stack was made without it", () => {
    expect([0, 429, 500, 503, 504].map((status) => answered(status).passes)).toEqual(Array(5).fill(true));
    expect([400, 403, 404, 409, 501].map((status) => answered(status).passes)).toEqual(Array(5).fill(false));
  });

  it("is the API's own words, or says that the API is away when a gateway answers for it", () => {
    const conflict = {
      type: "urn:crowsnest:problem:conflict",
      title: "In conflict",
      status: 409,
      detail: "version 2 by now",
    };
    expect(problemOf(new Response(null, { status: 409 }), conflict)).toMatchObject({ ...conflict, hint: "" });
    expect(problemOf(new Response(null, { status: 502 }), "<html>")).toEqual(unreachable());
  });
});
