"""VictoriaLogs over HTTP: answers as they arrive, failures as problems. Leaving a call ends its query."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec

from crowsnest.api.problems import Problem

Form = Sequence[tuple[str, str]]

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_CONNECT_SECONDS: Final = 3.0
_GRACE_SECONDS: Final = 1.0
"""The store ends a query by itself; this much later we do."""
_MAX_LINE_BYTES: Final = 4 * 1024 * 1024
_MAX_ERROR_BYTES: Final = 8 * 1024
_MAX_DETAIL_CHARACTERS: Final = 300
_MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
_MAX_CONNECTIONS: Final = 64
_MAX_TAIL_CONNECTIONS: Final = 4
_PARSE_ERROR: Final = re.compile(r"cannot parse query \[.*\]: (.*)", re.DOTALL)


class StoreClient:
    """Asks one VictoriaLogs. Make it inside a running event loop, and close it."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        # Plain bytes: the store is next door, and decompressing costs more than it saves.
        headers = {"Accept-Encoding": "identity"}
        self._queries = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS, keepalive_timeout=30), headers=headers, trust_env=False
        )
        # A hundred tails take turns on a few connections, and leave the others to whoever waits for an answer.
        self._tails = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MAX_TAIL_CONNECTIONS, keepalive_timeout=30), headers=headers, trust_env=False
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._queries.close()
        await self._tails.close()

    async def lines(self, form: Form, timeout_seconds: float, *, for_tail: bool = False) -> AsyncIterator[list[bytes]]:
        """Rows of `/select/logsql/query` as they arrive, some at a time; each is one line of JSON without its end.

        Raises:
            Problem: the store refuses, fails, or does not answer in time.
        """
        session = self._tails if for_tail else self._queries
        async with self._answer("/select/logsql/query", form, timeout_seconds, session) as answer:
            async for lines in _lines(answer):
                yield lines

    async def document(self, path: str, form: Form, timeout_seconds: float) -> Any:
        """A JSON answer of `/select/logsql/<path>`.

        Raises:
            Problem: the store refuses, fails, or does not answer in time.
        """
        async with self._answer(f"/select/logsql/{path}", form, timeout_seconds) as answer:
            body = await _bounded(answer, _MAX_DOCUMENT_BYTES)
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Problem("store-unavailable", "the log store gave an answer that is no JSON") from error

    async def text(self, path: str, timeout_seconds: float) -> str:
        """A text answer, such as that of `/metrics`.

        Raises:
            Problem: the store does not answer in time.
        """
        async with self._answer(path, (), timeout_seconds) as answer:
            return (await _bounded(answer, _MAX_DOCUMENT_BYTES)).decode("utf-8", "replace")

    @asynccontextmanager
    async def _answer(
        self, path: str, form: Form, timeout_seconds: float, session: aiohttp.ClientSession | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds + _GRACE_SECONDS, sock_connect=_CONNECT_SECONDS)
        try:
            answer = await (session or self._queries).post(
                self._url + path, data=urlencode(form).encode(), headers=_FORM, timeout=timeout, allow_redirects=False
            )
            try:
                await _check(answer)
                yield answer
            finally:
                # An answer that was read to its end gives its connection back; any other is cut, which ends the query.
                answer.close() if not answer.content.at_eof() else answer.release()
        except aiohttp.ConnectionTimeoutError as error:
            raise Problem("store-unavailable", "the log store cannot be reached") from error
        except TimeoutError as error:
            raise Problem("timeout", f"the log store did not finish in {timeout_seconds:g} s") from error
        except aiohttp.ClientError as error:
            raise Problem("store-unavailable", "the log store cannot be reached, or broke off") from error


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[list[bytes]]:
    """Complete lines; what is not a JSON object is the store's way to fail after it has begun to answer."""
    rest = b""
    async for chunk in answer.content.iter_any():
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > _MAX_LINE_BYTES:
            raise Problem("too-large", "a record is too long to be shown", "choose its fields: `| fields _time, level, _msg`")
        if strange := [line for line in lines if line[:1] != b"{"]:
            raise _explained(200, strange[0].decode("utf-8", "replace"))
        if lines:
            yield lines
    if rest:
        raise _explained(200, rest.decode("utf-8", "replace"))


async def _bounded(answer: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > most:
            raise Problem("too-large", "the answer of the log store is too large", "narrow the range, or filter more")
    return bytes(body)


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status != 200:
        text = (await answer.content.read(_MAX_ERROR_BYTES)).decode("utf-8", "replace")
        raise _explained(answer.status, text)


def _explained(status: int, text: str) -> Problem:
    """The store's error as ours. Its text is not passed on, except what its parser says of the asker's own query."""
    if "couldn't start executing" in text:
        return Problem("too-many-queries", "the log store is busy with other queries", headers={"Retry-After": "2"})
    if "couldn't be executed in" in text or "deadline exceeded" in text or "context canceled" in text:
        return Problem("timeout", "the log store did not finish in time")
    if not 400 <= status < 500:
        detail = "the log store broke off" if status == 200 else f"the log store answered {status}"
        return Problem("store-unavailable", detail)
    if found := _PARSE_ERROR.search(text):
        said = " ".join(found[1].split())[:_MAX_DETAIL_CHARACTERS]
        return Problem(
            "invalid-query", f"the log store cannot parse the query: {said}", "correct the query; see docs/logsql.md"
        )
    if "memory" in text:
        return Problem(
            "too-large", "the query needs more memory than the log store gives it", "narrow the range or group by less"
        )
    return Problem("invalid-query", "the log store refused the query", "simplify it; see docs/logsql.md")
