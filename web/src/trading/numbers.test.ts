import { describe, expect, it } from "vitest";
import { bookOf, orderPath } from "./books";
import { decimalText, isAbove, latencyText, priceText, usedShare } from "./numbers";

describe("decimals", () => {
  it("keep every digit, also those that a float has not", () => {
    expect(decimalText("12345678901234567890.123456789")).toBe("12,345,678,901,234,567,890.123456789");
    expect(decimalText("-1000")).toBe("−1,000");
    expect(decimalText("5", 2)).toBe("5.00");
    expect(decimalText("NaN")).toBe("NaN");
  });

  it("are cut to a price, not rounded", () => {
    expect(priceText("17.0243428571")).toBe("17.0243");
    expect(priceText("14.3")).toBe("14.30");
  });

  it("compare to the cent", () => {
    expect(isAbove("9007199254740993.01", "9007199254740993.00")).toBe(true);
    expect(isAbove("10", "10.00")).toBe(false);
    expect(isAbove("9.99", "10")).toBe(false);
  });
});

describe("usage", () => {
  it("is a share, and all of a cap of nothing", () => {
    expect(usedShare("250", "1000")).toBe(0.25);
    expect(usedShare("1", "0")).toBe(1);
    expect(usedShare("0", "0")).toBe(0);
  });
});

describe("latency", () => {
  it("has the unit that fits", () => {
    expect([118.4, 20_741, 1_200_000, null].map(latencyText)).toEqual(["118 µs", "20.7 ms", "1.2 s", "–"]);
  });
});

describe("paths", () => {
  it("name a book, or none", () => {
    expect(["/trading", "/trading/fills", "/trading/other", "/trading/orders/a/b"].map(bookOf)).toEqual([
      "positions",
      "fills",
      null,
      null,
    ]);
  });

  it("carry whatever an order is called", () => {
    expect(orderPath("b-1", "O/1 2")).toBe("/trading/orders/b-1/O%2F1%202");
  });
});
