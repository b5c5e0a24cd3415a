"""What can go wrong, as RFC 9457 problem documents: each says what happened and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from pydantic import BaseModel
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"

Kind = Literal[
    "unauthenticated",
    "forbidden",
    "csrf",
    "throttled",
    "invalid-query",
    "range-too-wide",
    "timeout",
    "store-unavailable",
    "database-unavailable",
    "docker-unavailable",
    "not-in-this-stack",
    "too-many-queries",
    "not-found",
    "conflict",
    "too-large",
    "too-slow",
]


@dataclass(frozen=True, slots=True)
class _Template:
    status: int
    title: str
    hint: str


TEMPLATES: Final[Mapping[Kind, _Template]] = {
    "unauthenticated": _Template(401, "Not signed in", "sign in, or send an API token as `Authorization: Bearer …`"),
    "forbidden": _Template(403, "Not allowed", "ask an operator for the role or the strategy that this needs"),
    "csrf": _Template(403, "Request not confirmed", "send the `csrf_token` of /api/auth/me in the header X-CSRF-Token"),
    "throttled": _Template(429, "Too many attempts", "wait for the seconds in Retry-After"),
    "invalid-query": _Template(400, "The request cannot be understood", "correct what `detail` names"),
    "range-too-wide": _Template(400, "The time range is too wide", "narrow the range"),
    "timeout": _Template(504, "The query timed out", "narrow the range, or filter by strategy, level or source"),
    "store-unavailable": _Template(503, "The log store does not answer", "try again in a few seconds; no record is lost"),
    "database-unavailable": _Template(503, "The trading database does not answer", "try again in a few seconds"),
    "docker-unavailable": _Template(503, "Docker does not answer", "try again; see that the component socket-proxy runs"),
    "not-in-this-stack": _Template(501, "Not part of this stack", "choose its pipeline in Pulumi.<stack>.yaml"),
    "too-many-queries": _Template(429, "Too many queries at once", "wait for the ones that are running, then try again"),
    "not-found": _Template(404, "Not found", "check the address"),
    "conflict": _Template(409, "In conflict with what is there", "look at what is there now, and decide anew"),
    "too-slow": _Template(408, "Too slow", "send the request at once"),
    "too-large": _Template(413, "Too large", "ask for less, or send less"),
}  # fmt: skip


class ProblemDocument(BaseModel):
    """An RFC 9457 problem."""

    type: str
    title: str
    status: int
    detail: str
    hint: str


class Problem(Exception):
    """An answer that is not what was asked for.

    Args:
        kind: what happened, of a closed list.
        detail: this occurrence, in words for the person who asked.
        hint: what to do about it; the kind's own hint when there is nothing better.
        headers: of the answer.
    """

    def __init__(self, kind: Kind, detail: str, hint: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.hint = hint or TEMPLATES[kind].hint
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status."""
        return TEMPLATES[self.kind].status

    @property
    def document(self) -> dict[str, object]:
        """The problem as plain JSON types."""
        return {
            "type": f"urn:crowsnest:problem:{self.kind}",
            "title": TEMPLATES[self.kind].title,
            "status": self.status,
            "detail": self.detail,
            "hint": self.hint,
        }

    @property
    def response(self) -> Response:
        """The problem as an answer."""
        return Response(msgspec.json.encode(self.document), self.status, self.headers, MEDIA_TYPE)


def documented(*kinds: Kind) -> dict[int | str, dict[str, object]]:
    """The answers that an endpoint may give instead, for its description in OpenAPI."""
    statuses: dict[int, list[Kind]] = {}
    for kind in kinds:
        statuses.setdefault(TEMPLATES[kind].status, []).append(kind)
    return {
        status: {
            "description": ", ".join(f"`{kind}`" for kind in named),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
        }
        for status, named in sorted(statuses.items())
    }
