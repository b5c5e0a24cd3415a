"""The shapes of the log API's questions and answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from crowsnest.api.logs.language import MAX_CHARACTERS
from crowsnest.api.logs.policy import MAX_VALUE_CHARACTERS, MAX_VALUES, Asked

Value = Annotated[str, Field(min_length=1, max_length=MAX_VALUE_CHARACTERS)]
Values = Annotated[list[Value], Field(max_length=MAX_VALUES)]
Time = Annotated[str, Field(min_length=1, max_length=64)]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}$")]


class Common(BaseModel):
    """What every question has."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, Field(max_length=MAX_CHARACTERS, description="LogsQL: a filter, and pipes of those allowed")] = "*"
    start: Annotated[Time | None, Field(description="RFC 3339 with a zone, an age such as 15m, or now")] = None
    end: Annotated[Time | None, Field(description="the same; exclusive")] = None
    strategy_id: Value | None = None
    level: Values = []
    source: Values = []
    container_name: Values = []

    def asked(self, limit: int | None = None, before: str | None = None) -> Asked:
        """The same for the policy."""
        exact = {"level": self.level, "source": self.source, "container_name": self.container_name}
        return Asked(
            q=self.q,
            start=self.start,
            end=self.end,
            strategy_id=self.strategy_id,
            exact={name: values for name, values in exact.items() if values},
            limit=limit,
            before=before,
        )


class QueryParameters(Common):
    """Of `/api/logs/query`."""

    limit: Annotated[int | None, Field(ge=1, le=2**31, description="rows; at most 500 are given")] = None
    before: Annotated[Time | None, Field(description="`next_before` of the page before")] = None


class TailParameters(Common):
    """Of `/api/logs/tail`; a tail has no range."""

    start: None = None
    end: None = None
    after: Annotated[Time | None, Field(description="newest `_time` seen, as Last-Event-ID")] = None


class HitsParameters(Common):
    """Of `/api/logs/hits`."""

    step: Annotated[str, Field(pattern=r"^(auto|[1-9]\d{0,4}[smh])$")] = "auto"


class FacetsParameters(Common):
    """Of `/api/logs/facets`."""

    fields: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}(,[A-Za-z_][A-Za-z0-9_.]{0,63}){0,9}$",
            description="names between commas, at most ten",
        ),
    ] = "level,strategy_id,source,container_name,component"
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class StreamsParameters(Common):
    """Of `/api/logs/streams`."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class ContextParameters(BaseModel):
    """Of `/api/logs/context`."""

    model_config = ConfigDict(extra="forbid")

    time: Time
    stream_id: Annotated[str, Field(pattern=r"^[0-9a-f]{48}$", description="`_stream_id` of the record")]
    before: Annotated[int, Field(ge=0, le=100)] = 20
    after: Annotated[int, Field(ge=0, le=100)] = 20
    strategy_id: Value | None = None
    within: Annotated[
        Literal["origin", "stream"],
        Field(description="origin: same strategy, source and container, any level. stream: same level as well"),
    ] = "origin"


class ExportParameters(Common):
    """Of `/api/logs/export`."""

    format: Literal["ndjson", "csv"] = "ndjson"
    limit: Annotated[int | None, Field(ge=1, le=2**31, description="rows; at most 100,000 are given")] = None
    columns: Annotated[
        str,
        Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,63}(,[A-Za-z_][A-Za-z0-9_.]{0,63}){0,49}$", description="of the CSV"),
    ] = "_time,level,source,strategy_id,container_name,_msg"


class LossParameters(BaseModel):
    """Of `/api/logs/loss`."""

    model_config = ConfigDict(extra="forbid")

    start: Time | None = None
    end: Time | None = None
    strategy_id: Value | None = None


class Applied(BaseModel):
    """What was asked for in the end."""

    q: str
    start: str
    end: str
    limit: int
    strategy_id: str | None


class Clamped(BaseModel):
    """Something of which less is given than was asked for."""

    what: Literal["limit", "range", "field_bytes", "response_bytes"]
    asked: int
    given: int


class QueryAnswer(BaseModel):
    """Records, newest first."""

    rows: list[dict[str, Any]]
    applied: Applied
    clamped: list[Clamped]
    truncated: Annotated[bool, Field(description="whether there are more rows")]
    next_before: str | None
    took_ms: float


class Bucket(BaseModel):
    """Records of one step."""

    start: str
    total: int
    levels: dict[str, int]


class HitsAnswer(BaseModel):
    """Records over time."""

    step_seconds: int
    buckets: list[Bucket]
    applied: Applied
    clamped: list[Clamped]


class FacetValue(BaseModel):
    """One value and its records."""

    value: str
    hits: int


class Facet(BaseModel):
    """The most frequent values of a field."""

    field: str
    values: list[FacetValue]
    more: bool


class FacetsAnswer(BaseModel):
    """Facets."""

    facets: list[Facet]
    applied: Applied
    clamped: list[Clamped]


class Stream(BaseModel):
    """One stream and its records."""

    stream: str
    hits: int


class StreamsAnswer(BaseModel):
    """Streams."""

    streams: list[Stream]
    applied: Applied
    clamped: list[Clamped]


class ContextAnswer(BaseModel):
    """Records around one, oldest first."""

    rows: list[dict[str, Any]]
    anchor: Annotated[int, Field(description="index of the record itself")]


class Gap(BaseModel):
    """Records that a trading process lost, as it says itself."""

    time: str
    strategy_id: str | None
    boot: str
    first_seq: int
    last_seq: int
    count: int
    reason: str


class Checked(BaseModel):
    """The range looked at."""

    start: str
    end: str


class LossAnswer(BaseModel):
    """What was lost in the trading process."""

    lost_total: int
    gaps: list[Gap]
    checked: Checked
    truncated: bool


class StoreHealth(BaseModel):
    """Health of the log store."""

    status: Literal["healthy", "unhealthy"]
    store: Literal["ok", "unavailable", "read_only"]
    newest_record_age_seconds: float | None
    version: str | None
