"""What the log store is asked on somebody's behalf: one pure function, without I/O.

Everything that limits a question stands here: who sees which strategies, over how long a range, how many rows, for how long.
The limits reach the store as arguments of their own (`start`, `end`, `timeout`, `limit`, `extra_filters`,
`extra_stream_filters`), never by writing into the text of the query. The text itself is recognised by `language`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from crowsnest.api.logs import language, moments
from crowsnest.api.logs.moments import SECOND_NS

STRATEGY_FIELD: Final = "strategy_id"
EXACT_FIELDS: Final = ("level", "source", "container_name")
MAX_VALUE_CHARACTERS: Final = 256
MAX_VALUES: Final = 50

Use = Literal["query", "tail", "hits", "facets", "streams", "context", "export", "loss"]


class Refused(ValueError):
    """The policy refuses; `kind` is the problem's, `hint` says what to do."""

    def __init__(self, kind: Literal["invalid-query", "range-too-wide", "forbidden"], detail: str, hint: str) -> None:
        super().__init__(detail)
        self.kind: Literal["invalid-query", "range-too-wide", "forbidden"] = kind
        self.detail = detail
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of the policy."""

    rows: int = 500
    default_rows: int = 100
    export_rows: int = 100_000
    range_seconds: int = 24 * 3600
    default_range_seconds: int = 3600
    timeout_seconds: int = 10
    export_page_timeout_seconds: int = 20
    field_bytes: int = 8 * 1024
    response_bytes: int = 2 * 1024 * 1024
    store_bytes: int = 32 * 1024 * 1024
    """Most bytes read from the store for one answer; fields are cut while reading."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for, as it came."""

    q: str = "*"
    start: str | None = None
    end: str | None = None
    strategy_id: str | None = None
    exact: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values by field, of `EXACT_FIELDS`."""
    limit: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Clamp:
    """Something of which less is given than was asked for."""

    what: Literal["limit", "range", "field_bytes", "response_bytes"]
    asked: int
    given: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What is asked for instead, all of it checked."""

    query: language.Query
    start_ns: int
    end_ns: int
    """Exclusive."""
    limit: int
    scope: tuple[str, ...] | None
    """Strategies that may be seen; None means all."""
    strategy_id: str | None
    exact: tuple[tuple[str, tuple[str, ...]], ...]
    timeout_seconds: int
    clamped: tuple[Clamp, ...] = ()

    @property
    def filters(self) -> list[tuple[str, str]]:
        """The store's arguments that say which records: those that no query text can undo."""
        form = [("extra_filters", json.dumps({name: list(values)})) for name, values in self.exact]
        if self.scope is not None:
            form.append(("extra_stream_filters", json.dumps({STRATEGY_FIELD: list(self.scope)})))
        return form

    @property
    def form(self) -> list[tuple[str, str]]:
        """The store's arguments for this range: text, range, filters and time limit."""
        return self.form_between(self.start_ns, self.end_ns)

    def form_between(self, start_ns: int, end_ns: int) -> list[tuple[str, str]]:
        """The same for a part of the range; `end_ns` is exclusive."""
        start_ns, end_ns = max(start_ns, self.start_ns), min(end_ns, self.end_ns)
        return [
            ("query", self.query.text),
            ("start", moments.text(start_ns)),
            ("end", moments.text(end_ns - 1)),
            # `start` and `end` can be left by an option of the query, and the store rounds `end` up where it ends in zeros.
            # This says the same once more, exactly, where no option reaches.
            ("extra_filters", f"_time:[{moments.text(start_ns)}, {moments.text(end_ns)})"),
            *self.filters,
            ("timeout", f"{self.timeout_seconds}s"),
        ]

    @property
    def applied(self) -> dict[str, object]:
        """What was asked for in the end, for the answer."""
        return {
            "q": self.query.text,
            "start": moments.text(self.start_ns),
            "end": moments.text(self.end_ns),
            "limit": self.limit,
            "strategy_id": self.strategy_id,
        }


class LogQueryPolicy:
    """Decides, for each question, what the store is asked."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    def decide(self, asked: Asked, use: Use, strategies: Sequence[str] | None, now_ns: int) -> Decision:
        """The question that may be asked.

        Args:
            asked: what somebody asks for.
            use: what for; an export is refused where others are cut, as a file does not show what it lacks.
            strategies: those that this somebody may see, None for all.
            now_ns: the time, ns since the epoch.

        Raises:
            Refused: there is none.
        """
        query = self._query(asked.q, use)
        clamps: list[Clamp] = []
        start_ns, end_ns = self._range(asked, use, now_ns, clamps)
        return Decision(
            query=query,
            start_ns=start_ns,
            end_ns=end_ns,
            limit=self._limit(asked.limit, use, clamps),
            scope=_scope(asked.strategy_id, strategies),
            strategy_id=asked.strategy_id,
            exact=_exact(asked.exact),
            timeout_seconds=self.limits.export_page_timeout_seconds if use == "export" else self.limits.timeout_seconds,
            clamped=tuple(clamps),
        )

    def _query(self, text: str, use: Use) -> language.Query:
        try:
            query = language.recognise(text)
        except language.QueryRefused as refused:
            raise Refused("invalid-query", refused.detail, refused.hint) from None
        if use != "query" and not (query.is_rows or (use == "export" and query.pipes)):
            pipe = next(name for name in query.pipes if name not in language.ROW_PIPES)
            raise Refused("invalid-query", f"the pipe {pipe!r} cannot be used here", "leave it out, or use it in a query")
        return query

    def _range(self, asked: Asked, use: Use, now_ns: int, clamps: list[Clamp]) -> tuple[int, int]:
        try:
            # A clock that is ahead of ours has written records already; they belong to "now".
            end_ns = now_ns + SECOND_NS if asked.end is None else moments.parse(asked.end, now_ns)
            default_ns = end_ns - self.limits.default_range_seconds * SECOND_NS
            start_ns = default_ns if asked.start is None else moments.parse(asked.start, now_ns)
            before_ns = end_ns if asked.before is None else moments.parse(asked.before, now_ns)
        except ValueError as error:
            raise Refused("invalid-query", str(error), "correct the time") from None
        start_ns = max(0, start_ns)
        asked_seconds = -((start_ns - end_ns) // SECOND_NS)
        if end_ns - start_ns > (self.limits.range_seconds + 1) * SECOND_NS:
            if use == "export":
                raise Refused(
                    "range-too-wide",
                    f"{asked_seconds / 3600:.0f} hours are asked for, {self.limits.range_seconds / 3600:.0f} are possible",
                    "export one day at a time",
                )
            clamps.append(Clamp("range", asked_seconds, self.limits.range_seconds))
            start_ns = end_ns - self.limits.range_seconds * SECOND_NS
        end_ns = min(end_ns, before_ns)
        if start_ns >= end_ns:
            raise Refused(
                "invalid-query", "the time range is empty: it ends before it begins", "let `end` be later than `start`"
            )
        return start_ns, end_ns

    def _limit(self, asked: int | None, use: Use, clamps: list[Clamp]) -> int:
        most = self.limits.export_rows if use == "export" else self.limits.rows
        wanted = asked if asked is not None else most if use == "export" else self.limits.default_rows
        if wanted < 1:
            raise Refused("invalid-query", f"limit={wanted} asks for nothing", f"ask for 1 to {most}")
        if wanted > most:
            clamps.append(Clamp("limit", wanted, most))
        return min(wanted, most)


def _scope(strategy_id: str | None, strategies: Sequence[str] | None) -> tuple[str, ...] | None:
    """Strategies that the answer may hold. Never an empty list: the store takes that for no filter at all."""
    if strategy_id is not None:
        _check_value(STRATEGY_FIELD, strategy_id)
        if strategies is not None and strategy_id not in strategies:
            raise Refused(
                "forbidden",
                f"the strategy {strategy_id!r} is not one of yours",
                "choose one of those that /api/auth/me names, or ask an operator",
            )
        return (strategy_id,)
    if strategies is None:
        return None
    # An empty name would match every stream without a strategy.
    names = tuple(name for name in strategies if name)
    if not names:
        raise Refused("forbidden", "no strategy is assigned to you", "ask an operator to assign one")
    return names


def _exact(exact: Mapping[str, Sequence[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    chosen = []
    for name, values in exact.items():
        if name not in EXACT_FIELDS:
            raise Refused("invalid-query", f"there is no filter by {name!r}", f"filter by {', '.join(EXACT_FIELDS)}, or in `q`")
        if len(values) > MAX_VALUES:
            raise Refused("invalid-query", f"{len(values)} values of {name}", f"choose at most {MAX_VALUES}")
        for value in values:
            _check_value(name, value)
        if values:
            chosen.append((name, tuple(values)))
    return tuple(chosen)


def _check_value(name: str, value: str) -> None:
    if not value or len(value) > MAX_VALUE_CHARACTERS or not value.isprintable():
        raise Refused(
            "invalid-query",
            f"{name} must be 1 to {MAX_VALUE_CHARACTERS} printable characters",
            f"correct {name}, or leave it out",
        )
