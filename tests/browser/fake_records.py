"""Log records of a trading day that never was, and the part of LogsQL that finds them: data for the fake API."""

from __future__ import annotations

import hashlib
import math
import random
import re
import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

Record = dict[str, str]
Match = Callable[[Record], bool]

NANOSECONDS = 1_000_000_000
STRATEGIES = {
    "ema_cross": "EMACrossStrategy",
    "mean_reversion": "MeanReversionStrategy",
    "orb_15min_call_1": "OpeningRangeStrategy",
    "pairs_stat_arb": "PairsStrategy",
}
SYMBOLS = {"AAPL": 231.4, "MSFT": 512.9, "IBM": 288.1, "GOOG": 301.7, "META": 644.2, "NVDA": 187.3}
CONTAINERS = ("ib-gateway", "redis", "postgresql", "trader")
TRACEBACK = """Traceback (most recent call last):
  File "/app/trader/execution/client.py", line 318, in _send
    await self._connection.write(frame, timeout=self._timeout_seconds)
  File "/app/trader/execution/connection.py", line 97, in write
    raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
ConnectionResetError: [Errno 104] Connection reset by peer"""


def rfc3339(time_ns: int) -> str:
    """As VictoriaLogs writes it: nanoseconds without trailing zeros."""
    whole, rest = divmod(time_ns, NANOSECONDS)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def parse_time(text: str, now_ns: int) -> int:
    """An RFC 3339 time, or an age such as `15m`, as nanoseconds.

    Raises:
        ValueError: it is neither.
    """
    if age := re.fullmatch(r"(\d+)([smhd])", text):
        return now_ns - int(age[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[age[2]] * NANOSECONDS
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if not found:
        raise ValueError(f"not a time: {text}")
    whole = int(datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).timestamp())
    return whole * NANOSECONDS + int((found[2] or "").ljust(9, "0"))


@dataclass
class Story:
    """Makes records one after another, as strategies, engines and containers would log them."""

    random: random.Random
    boot: str = field(default_factory=lambda: secrets.token_hex(8))
    seq: int = 0
    orders: int = 0
    _waiting: list[Record] = field(default_factory=list)

    def next(self) -> Record:
        """The next record, without a time."""
        if not self._waiting:
            self._waiting = list(self._scene())
        record = self._waiting.pop(0)
        if record["source"] != "container":
            self.seq += 1
            record |= {"boot": self.boot, "seq": str(self.seq)}
        stream = f"{record.get('strategy_id')}|{record['source']}|{record['level']}|{record.get('container_name')}"
        record["_stream_id"] = hashlib.sha256(stream.encode()).hexdigest()[:32]
        return record

    def _scene(self) -> Iterator[Record]:
        dice = self.random.random()
        if dice < 0.62:
            yield from self._deal()
        elif dice < 0.80:
            yield from self._container()
        elif dice < 0.96:
            yield from self._engine()
        else:
            yield from self._trouble()

    def _strategy(self) -> tuple[str, str]:
        name = self.random.choices(list(STRATEGIES), weights=(5, 4, 2, 1))[0]
        return name, STRATEGIES[name]

    def _deal(self) -> Iterator[Record]:
        strategy, component = self._strategy()
        symbol = self.random.choice(list(SYMBOLS))
        price = round(SYMBOLS[symbol] * self.random.uniform(0.985, 1.015), 2)
        side = self.random.choice(("BUY", "SELL"))
        quantity = self.random.choice((10, 25, 40, 100, 312, 1250))
        self.orders += 1
        order = f"O-20261121-{strategy.split('_')[0].upper()}-{self.orders:05d}"
        base = {
            "source": "strategy",
            "strategy_id": strategy,
            "component": component,
            "instrument": f"{symbol}.NASDAQ",
        }
        deal = base | {"side": side, "quantity": str(quantity), "price": f"{price:.2f}", "order_id": order}
        yield base | {"level": "DEBUG", "_msg": f"{symbol} bar closed at {price:.2f}, signal {side}", "action": "signal"}
        yield deal | {
            "level": "INFO",
            "_msg": f"{symbol} order submitted {side} {quantity} at {price:.2f}",
            "action": "order_submitted",
        }
        if self.random.random() < 0.04:
            reason = self.random.choice(("insufficient buying power", "price outside of the band", "market is closed"))
            yield deal | {
                "level": "ERROR",
                "_msg": f"{symbol} order rejected: {reason}",
                "action": "order_rejected",
                "reason": reason,
            }
            return
        yield deal | {
            "level": "INFO",
            "_msg": f"{symbol} order filled {side} {quantity} at {price:.2f}",
            "action": "order_filled",
        }
        yield deal | {
            "level": "INFO",
            "_msg": f"{symbol} position {'opened' if side == 'BUY' else 'closed'}",
            "action": "position_opened",
        }

    def _engine(self) -> Iterator[Record]:
        strategy, _ = self._strategy()
        base = {"source": "system"}
        yield self.random.choice(
            (
                base | {"level": "INFO", "component": "DataEngine", "_msg": "bars of 6 instruments caught up"},
                base
                | {
                    "level": "DEBUG",
                    "component": "ExecEngine",
                    "_msg": "reconciled 14 open orders with the venue",
                    "elapsed_ms": "12",
                },
                base
                | {
                    "level": "INFO",
                    "component": "RiskEngine",
                    "_msg": f"limits of {strategy} checked: exposure 62 % of the budget",
                },
                base
                | {"level": "INFO", "component": "crowsnest.logs", "_msg": "records dropped by rule", "dropped_tick": "1840"},
            )
        )

    def _container(self) -> Iterator[Record]:
        name = self.random.choice(CONTAINERS)
        text = {
            "ib-gateway": "Connection to the data farm is OK: usfarm.nj",
            "redis": "Background saving terminated with success",
            "postgresql": "checkpoint complete: wrote 84 buffers (0.5%)",
            "trader": "GET /metrics 200 3.1 ms",
        }[name]
        yield {"source": "container", "level": "INFO", "container_name": name, "_msg": text}

    def _trouble(self) -> Iterator[Record]:
        strategy, component = self._strategy()
        base = {"source": "strategy", "strategy_id": strategy, "component": component}
        dice = self.random.random()
        if dice < 0.75:
            late = self.random.randint(350, 4200)
            yield base | {
                "level": "WARNING",
                "_msg": f"market data is late by {late} ms",
                "action": "data_late",
                "late_ms": str(late),
            }
        elif dice < 0.995:
            yield base | {
                "level": "ERROR",
                "_msg": "order could not be sent: connection reset by peer",
                "action": "send_failed",
                "order_id": f"O-20261121-{strategy.split('_')[0].upper()}-{self.orders:05d}",
                "error_type": "ConnectionResetError",
                "error_traceback": TRACEBACK,
            }
        else:
            yield {
                "source": "system",
                "level": "CRITICAL",
                "component": "RiskEngine",
                "_msg": f"kill switch engaged for {strategy}: drawdown limit reached",
            }


@dataclass
class Store:
    """Records in the order of their time."""

    records: list[Record] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    story: Story = field(default_factory=lambda: Story(random.Random(7)))

    def fill(self, count: int, now_ns: int) -> None:
        """`count` records of the last 24 hours in waves, two in five of them within the last hour."""
        draw = random.Random(11)

        def age_seconds() -> float:
            span = 3_590 if draw.random() < 0.4 else 86_390
            while True:
                age = draw.random() * span
                wave = 1.4 + math.sin(age / 140) + 0.7 * math.sin(age / 47 + 1) + 1.6 * math.exp(-(((age - 1_500) / 60) ** 2))
                if draw.random() * 4.7 < wave:
                    return age

        ages = sorted((int(age_seconds() * NANOSECONDS) for _ in range(count)), reverse=True)
        for age in ages:
            self.add(now_ns - age)

    def add(self, time_ns: int) -> Record:
        if self.times and time_ns <= self.times[-1]:
            time_ns = self.times[-1] + 1
        record = {"_time": rfc3339(time_ns), **self.story.next()}
        self.records.append(record)
        self.times.append(time_ns)
        return record

    def between(self, start_ns: int, end_ns: int) -> range:
        """Indexes of the records in `[start, end)`."""
        return range(bisect_left(self.times, start_ns), bisect_left(self.times, end_ns))


TOKEN = re.compile(
    r"""\s*(?:(?P<paren>[()])|(?P<not>!|-(?=\w|"))|(?:(?P<field>[\w.]+|"[^"]*"):)?(?P<op>=|~)?(?P<text>"(?:[^"\\]|\\.)*"|[^\s()|:"]+))"""
)


class InvalidQuery(ValueError):
    """The text is not understood; VictoriaLogs would refuse it, too, or this fake knows too little."""


def compile_query(text: str) -> Match:
    """What a query without pipes matches: words, phrases, prefixes, fields, `!`, `or`, brackets."""
    tokens: list[re.Match[str]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        token = TOKEN.match(text, at)
        if not token:
            raise InvalidQuery(f"cannot parse {text[at : at + 20]!r}")
        tokens.append(token)
        at = token.end()
    match, rest = _any(tokens, 0)
    if rest != len(tokens):
        raise InvalidQuery("unbalanced brackets")
    return match


def _word(tokens: list[re.Match[str]], at: int) -> str:
    return (tokens[at]["text"] or "").lower() if at < len(tokens) and not tokens[at]["field"] else ""


def _any(tokens: list[re.Match[str]], at: int) -> tuple[Match, int]:
    one, at = _all(tokens, at)
    choices = [one]
    while _word(tokens, at) == "or":
        one, at = _all(tokens, at + 1)
        choices.append(one)
    return lambda record: any(choice(record) for choice in choices), at


def _all(tokens: list[re.Match[str]], at: int) -> tuple[Match, int]:
    parts: list[Match] = []
    while at < len(tokens) and tokens[at]["paren"] != ")" and _word(tokens, at) != "or":
        if _word(tokens, at) == "and":
            at += 1
            continue
        one, at = _one(tokens, at)
        parts.append(one)
    if not parts:
        raise InvalidQuery("a filter is missing")
    return lambda record: all(part(record) for part in parts), at


def _one(tokens: list[re.Match[str]], at: int) -> tuple[Match, int]:
    if at >= len(tokens):
        raise InvalidQuery("a filter is missing")
    token = tokens[at]
    if token["not"] or _word(tokens, at) == "not":
        inner, at = _one(tokens, at + 1)
        return lambda record: not inner(record), at
    if token["paren"] == "(":
        inner, at = _any(tokens, at + 1)
        if at >= len(tokens) or tokens[at]["paren"] != ")":
            raise InvalidQuery("a bracket is not closed")
        return inner, at + 1
    return _filter(token), at + 1


def _filter(token: re.Match[str]) -> Match:
    name = (token["field"] or "_msg").strip('"')
    text = token["text"]
    value = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
    if value == "*" and not token["op"]:
        return lambda record: name == "_msg" or name in record
    if token["op"] == "=":
        return lambda record: record.get(name, "") == value
    if token["op"] == "~":
        pattern = re.compile(value)
    else:
        prefix = value.endswith("*")
        pattern = re.compile(r"(?i)(?<!\w)" + re.escape(value.rstrip("*")) + ("" if prefix else r"(?!\w)"))
    return lambda record: pattern.search(record.get(name, "")) is not None
