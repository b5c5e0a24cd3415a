"""Read records back from VictoriaLogs: a small client of /select/logsql/query."""

from __future__ import annotations

import http.client
import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

Record = dict[str, Any]

_DURATION = re.compile(r"\d+(\.\d+)?(ms|s|m|h|d|w)")
_MAX_ERROR_CHARS = 500


class QueryError(Exception):
    """VictoriaLogs could not be asked, or refused the query; the text says why in one line."""


def build_query(since: str, log_filter: str | None = None) -> str:
    """The LogsQL query for the records of the last `since` (such as `5m`) that match `log_filter`.

    The filter is joined by LogsQL's implicit AND, in parentheses, so an `or` in it does not widen the time range. It is
    a filter: pipes belong to no such place, and VictoriaLogs says so.

    Raises:
        ValueError: `since` is not a LogsQL duration.
    """
    if not _DURATION.fullmatch(since):
        raise ValueError(f"not a duration such as 30s, 5m or 2h: {since!r}")
    return f"_time:{since}" if log_filter is None or not log_filter.strip() else f"_time:{since} ({log_filter})"


class QueryClient:
    """Runs queries against one VictoriaLogs."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        """Take apart `url`.

        Raises:
            ValueError: it is not http(s)://host[:port][/path].
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the URL must look like http://host:port, got {url!r}")
        self._url = url
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = parts.hostname, parts.port
        self._target = f"{parts.path.rstrip('/')}/select/logsql/query"
        self._timeout_seconds = timeout_seconds

    def newest(self, query: str, limit: int) -> list[Record]:
        """The newest `limit` records that match, oldest first.

        Raises:
            QueryError: no usable answer.
        """
        records = self._rows({"query": query, "limit": str(limit)})
        return sorted(records, key=lambda record: str(record.get("_time", "")))

    def count(self, query: str) -> int:
        """How many records match.

        Raises:
            QueryError: no usable answer.
        """
        rows = self._rows({"query": f"{query} | stats count() as records"})
        try:
            return int(rows[0]["records"]) if rows else 0
        except (KeyError, ValueError):
            raise QueryError(f"{self._url} gave an unexpected answer to a count") from None

    def _rows(self, form: dict[str, str]) -> list[Record]:
        connection = self._kind(*self._address, timeout=self._timeout_seconds)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", self._target, urlencode(form), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise QueryError(f"cannot reach {self._url}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            text = " ".join(body.decode("utf-8", "replace").split())[:_MAX_ERROR_CHARS]
            raise QueryError(f"{self._url} answered {response.status}: {text}")
        try:
            return [msgspec.json.decode(line, type=Record) for line in body.splitlines() if line]
        except msgspec.DecodeError as error:
            raise QueryError(f"{self._url} gave an answer that is not NDJSON: {error}") from error
