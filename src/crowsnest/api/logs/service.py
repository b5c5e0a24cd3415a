"""The answers: what the policy allows is asked, and what comes back is put in order."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from crowsnest.api.logs import moments
from crowsnest.api.logs.client import StoreClient
from crowsnest.api.logs.language import Query
from crowsnest.api.logs.moments import SECOND_NS
from crowsnest.api.logs.policy import STRATEGY_FIELD, Asked, Clamp, Decision, Limits
from crowsnest.api.logs.rows import Page, moment_of
from crowsnest.api.problems import Problem

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_STEPS_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_AUTO_BUCKETS: Final = 100
_MAX_BUCKETS: Final = 1500
_STEP_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
# Beyond this many different values the store counts no more.
_FACET_VALUES: Final = 1000
_CONTEXT_WINDOW_NS: Final = 3600 * SECOND_NS
_ORIGIN_FIELDS: Final = (STRATEGY_FIELD, "source", "container_name")
_MAX_GAPS: Final = 500
MAX_BOOTS: Final = 200
GAPS_QUERY: Final = "logger:=crowsnest.logs gap_reason:* gap_records:>0"
BOOTS_QUERY: Final = f"boot:* | uniq by (boot) limit {MAX_BOOTS}"
_HEALTH_SECONDS: Final = 2.0
_HEALTH_KEPT_SECONDS: Final = 2.0
_VERSION: Final = re.compile(r'^vm_app_version\{[^}]*\bversion="([^"]*)"', re.MULTILINE)
_READ_ONLY: Final = re.compile(r"^vl_storage_is_read_only\S* 1$", re.MULTILINE)


class LogService:
    """Puts answers together."""

    def __init__(self, store: StoreClient, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._health: tuple[float, dict[str, object]] | None = None

    async def query(self, decision: Decision) -> bytes:
        """The answer of `/api/logs/query`, encoded."""
        begun = time.perf_counter()
        page, rows, next_before = await self.page(decision, decision.limit, self._limits.response_bytes)
        clamped = list(decision.clamped)
        if page.longest_field:
            clamped.append(Clamp("field_bytes", page.longest_field, self._limits.field_bytes))
        if page.cut_bytes:
            clamped.append(Clamp("response_bytes", self._limits.response_bytes + page.cut_bytes, self._limits.response_bytes))
        head = {
            "applied": decision.applied,
            "clamped": clamped,
            "truncated": page.has_more,
            "next_before": next_before,
            "took_ms": round((time.perf_counter() - begun) * 1000, 2),
        }
        # The rows are JSON already.
        return b'{"rows":[' + b",".join(rows) + b"]," + msgspec.json.encode(head)[1:]

    async def page(
        self, decision: Decision, limit: int, response_bytes: int, before_ns: int | None = None
    ) -> tuple[Page, list[bytes], str | None]:
        """One page of rows, and the moment before which the next one begins."""
        form = decision.form if before_ns is None else decision.form_between(decision.start_ns, before_ns)
        is_rows = decision.query.is_rows
        page = Page(limit, self._limits.field_bytes, response_bytes, self._limits.store_bytes, keep_last=is_rows)
        await page.fill(self._store.lines([*form, ("limit", str(limit + 1))], decision.timeout_seconds))
        if is_rows:
            return page, *page.newest_first()
        return page, list(page.rows), None

    async def hits(self, decision: Decision, step: str) -> dict[str, object]:
        """Records over time, by level. Every step of the range has a bucket, also where there is nothing."""
        step_seconds = self._step(decision, step)
        form = [*decision.form, ("step", f"{step_seconds}s"), ("field", "level")]
        document = await self._store.document("hits", form, decision.timeout_seconds)
        step_ns = step_seconds * SECOND_NS
        first_ns = decision.start_ns // step_ns * step_ns
        buckets: dict[int, dict[str, Any]] = {
            start_ns: {"start": moments.text(start_ns), "total": 0, "levels": dict.fromkeys(LEVELS, 0)}
            for start_ns in range(first_ns, decision.end_ns, step_ns)
        }
        for series in document["hits"]:
            level = series["fields"].get("level", "")
            for text, count in zip(series["timestamps"], series["values"], strict=True):
                bucket = buckets.get(moments.parse(text, 0) // step_ns * step_ns)
                if bucket is None:
                    continue
                bucket["total"] += int(count)
                if level in bucket["levels"]:
                    bucket["levels"][level] += int(count)
        return {"step_seconds": step_seconds, "buckets": list(buckets.values()), **_said(decision)}

    def _step(self, decision: Decision, step: str) -> int:
        seconds = (decision.end_ns - decision.start_ns) / SECOND_NS
        if step == "auto":
            return next((one for one in _STEPS_SECONDS if seconds / one <= _AUTO_BUCKETS), _STEPS_SECONDS[-1])
        asked = int(step[:-1]) * _STEP_UNIT_SECONDS[step[-1]]
        if seconds / asked > _MAX_BUCKETS:
            least = -(-int(seconds) // _MAX_BUCKETS)
            raise Problem("invalid-query", f"a step of {step} gives too many buckets", f"ask for at least {least}s, or auto")
        return asked

    async def facets(self, decision: Decision, fields: Sequence[str], limit: int) -> dict[str, object]:
        """The most frequent values of each field."""
        facets = await asyncio.gather(*(self._facet(decision, name, limit) for name in dict.fromkeys(fields)))
        return {"facets": facets, **_said(decision)}

    async def _facet(self, decision: Decision, name: str, limit: int) -> dict[str, object]:
        form = [*decision.form, ("field", name), ("limit", str(_FACET_VALUES))]
        document = await self._store.document("field_values", form, decision.timeout_seconds)
        values = [{"value": one["value"], "hits": int(one["hits"])} for one in document["values"] if one["value"]]
        values.sort(key=lambda one: (-one["hits"], one["value"]))
        return {"field": name, "values": values[:limit], "more": len(values) > limit}

    async def streams(self, decision: Decision, limit: int) -> dict[str, object]:
        """Streams with the most records."""
        form = [*decision.form, ("limit", str(_FACET_VALUES))]
        document = await self._store.document("streams", form, decision.timeout_seconds)
        streams = [{"stream": one["value"], "hits": int(one["hits"])} for one in document["values"]]
        streams.sort(key=lambda one: (-one["hits"], one["stream"]))
        return {"streams": streams[:limit], **_said(decision)}

    async def context(self, decision: Decision, time_ns: int, before: int, after: int, within: str) -> dict[str, object]:
        """Records around one, oldest first.

        Two queries of a bounded range instead of the pipe `stream_context`, whose range is its own affair.

        Args:
            decision: for the window around the record; its text is the stream's.
            time_ns: when the record was made.
            before: most records before it.
            after: most records after it.
            within: `stream`, or `origin` for the same strategy, source and container at any level.
        """
        anchors = await self._rows(decision.form_between(time_ns, time_ns + 1), decision, 1)
        if not anchors:
            raise Problem("not-found", f"there is no record of {moments.text(time_ns)} in that stream", "search for it again")
        origin = decision if within == "stream" else _origin(decision, anchors[0])
        earlier, later = await asyncio.gather(
            self._rows(origin.form_between(decision.start_ns, time_ns), origin, before),
            self._rows(origin.form_between(time_ns + 1, decision.end_ns), origin, after, oldest=True),
        )
        return {"rows": [*earlier, *anchors, *later], "anchor": len(earlier)}

    async def _rows(
        self, form: Sequence[tuple[str, str]], decision: Decision, limit: int, *, oldest: bool = False
    ) -> list[dict[str, Any]]:
        """Rows oldest first: the newest of the range, or its oldest."""
        if not limit:
            return []
        if oldest:
            form = [(name, f"{text} | sort by (_time) limit {limit}" if name == "query" else text) for name, text in form]
        page = Page(
            limit, self._limits.field_bytes, self._limits.response_bytes, self._limits.store_bytes, keep_last=not oldest
        )
        await page.fill(self._store.lines([*form, ("limit", str(limit))], decision.timeout_seconds))
        return [msgspec.json.decode(line) for line in page.rows]

    async def loss(self, gaps: Decision, boots: Decision) -> dict[str, object]:
        """Gap records of trading processes: what was lost before it reached the store, as the library counted it.

        A gap record belongs to a process, not to a strategy. In a scope, those of the processes count that its strategies ran
        in: a loss there may be theirs.

        Args:
            gaps: asks for `GAPS_QUERY`.
            boots: asks for `BOOTS_QUERY`.
        """
        if gaps.scope is not None:
            found = await self._rows(boots.form, boots, MAX_BOOTS)
            names = tuple(sorted(row["boot"] for row in found if row.get("boot")))
            if not names:
                return _losses(gaps, [])
            gaps = dataclasses.replace(gaps, scope=None, exact=(("boot", names),))
        return _losses(gaps, await self._rows(gaps.form, gaps, _MAX_GAPS + 1))

    async def health(self) -> dict[str, object]:
        """Health by asking a real query; kept for a moment, as anybody may ask."""
        now = time.monotonic()
        if self._health is None or now - self._health[0] > _HEALTH_KEPT_SECONDS:
            self._health = now, await self._ask_health()
        return self._health[1]

    async def _ask_health(self) -> dict[str, object]:
        now_ns = time.time_ns()
        form = [
            ("query", "*"),
            ("start", moments.text(now_ns - self._limits.range_seconds * SECOND_NS)),
            ("limit", "1"),
            ("timeout", f"{_HEALTH_SECONDS:g}s"),
        ]
        try:
            newest = [line async for lines in self._store.lines(form, _HEALTH_SECONDS) for line in lines]
            metrics = await self._store.text("/metrics", _HEALTH_SECONDS)
        except Problem:
            return {"status": "unhealthy", "store": "unavailable", "newest_record_age_seconds": None, "version": None}
        made_ns = moment_of(newest[-1]) if newest else None
        found = _VERSION.search(metrics)
        read_only = bool(_READ_ONLY.search(metrics))
        return {
            "status": "unhealthy" if read_only else "healthy",
            "store": "read_only" if read_only else "ok",
            "newest_record_age_seconds": None if made_ns is None else round((time.time_ns() - made_ns) / SECOND_NS, 3),
            "version": found[1] if found else None,
        }


def _said(decision: Decision) -> dict[str, object]:
    return {"applied": decision.applied, "clamped": list(decision.clamped)}


def _origin(decision: Decision, anchor: dict[str, Any]) -> Decision:
    """The same question for all that has the anchor's strategy, source and container."""
    exact = tuple((name, (anchor[name],)) for name in _ORIGIN_FIELDS if anchor.get(name))
    return dataclasses.replace(decision, exact=exact, query=Query("*"))


def context_query(stream_id: str) -> str:
    """The text that finds a stream; the id is checked to be hexadecimal before."""
    return f"_stream_id:{stream_id}"


def context_window(asked_ns: int) -> Asked:
    """The range that is looked at around a record."""
    return Asked(start=moments.text(max(0, asked_ns - _CONTEXT_WINDOW_NS)), end=moments.text(asked_ns + _CONTEXT_WINDOW_NS))


def _losses(decision: Decision, rows: list[dict[str, Any]]) -> dict[str, object]:
    gaps = [_gap(row) for row in reversed(rows[-_MAX_GAPS:])]
    return {
        "lost_total": sum(gap["count"] for gap in gaps),
        "gaps": gaps,
        "checked": {"start": moments.text(decision.start_ns), "end": moments.text(decision.end_ns)},
        "truncated": len(rows) > _MAX_GAPS,
    }


def _gap(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": row["_time"],
        "strategy_id": row.get(STRATEGY_FIELD),
        "boot": row.get("boot", ""),
        "first_seq": _number(row.get("gap_first_seq")),
        "last_seq": _number(row.get("gap_last_seq")),
        "count": _number(row.get("gap_records")),
        "reason": row["gap_reason"],
    }


def _number(text: object) -> int:
    try:
        return int(str(text))
    except ValueError:
        return 0
