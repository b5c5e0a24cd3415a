"""QuestDB over HTTP: rows in line protocol, and SQL. Every call has an end."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

WRITE_SECONDS = 25
SQL_SECONDS = 30
# A table that got a column a moment ago makes QuestDB refuse once what it planned before.
_PLANS = 3
# What QuestDB says when the file system has no room; errno 28 is ENOSPC, 122 EDQUOT.
_FULL = re.compile(r"no space left|errno=(28|122)\b|\[(28|122)\]|disk (is )?full|could not (allocate|extend)", re.IGNORECASE)


class StoreError(Exception):
    """QuestDB does not answer, or cannot do it now; it may later. ``full``: its disk is."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.full = bool(_FULL.search(message))


class SqlError(Exception):
    """QuestDB refuses a statement."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """QuestDB stores nothing of a batch because of one line; ``line`` is its number from 1 where QuestDB says it."""

    message: str
    line: int | None


class QuestDB:
    """One session with QuestDB."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(auth=aiohttp.BasicAuth(user, password), trust_env=False)

    async def close(self) -> None:
        """End the session."""
        await self._session.close()

    async def write(self, lines: Sequence[bytes]) -> Refusal | None:
        """Store lines; None when all of them are stored, and on the disk.

        Raises:
            StoreError: nothing is known to be stored, and another try may help.
        """
        body = b"\n".join(lines) + b"\n"
        status, text = await self._call("POST", "/write", WRITE_SECONDS, data=body)
        if status in (200, 204):
            return None
        answer = _document(text)
        message = _reason(str(answer.get("message") or text))
        if status == 413:
            return Refusal("the batch is larger than QuestDB takes", None)
        if status == 400 and not _FULL.search(message):
            line = answer.get("line")
            return Refusal(message, line if isinstance(line, int) else None)
        raise StoreError(f"QuestDB answers {status}: {message}")

    async def sql(self, statement: str) -> list[dict[str, Any]]:
        """Rows of a statement, by column.

        Raises:
            SqlError: QuestDB refuses it.
            StoreError: QuestDB does not answer, or has no room.
        """
        for _ in range(_PLANS):
            status, text = await self._call("GET", "/exec", SQL_SECONDS, params={"query": statement})
            if "cached query plan" not in text:
                break
        answer = _document(text)
        if status == 200 and "error" not in answer:
            columns = [column["name"] for column in answer.get("columns", [])]
            return [dict(zip(columns, row, strict=True)) for row in answer.get("dataset", [])]
        message = str(answer.get("error") or text)[:500]
        if status == 400 and not _FULL.search(message):
            raise SqlError(message)
        raise StoreError(f"QuestDB answers {status}: {message}")

    async def _call(self, method: str, path: str, seconds: float, **options: Any) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(method, self._url + path, timeout=timeout, **options) as response:
                return response.status, await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreError(f"QuestDB does not answer: {type(error).__name__}: {error}") from error


def _reason(message: str) -> str:
    """What QuestDB has against a line, without the number that it had in the batch."""
    return re.sub(r"^failed to parse line protocol:\s*errors encountered on line\(s\):\s*error in line \d+: ", "", message)[
        :500
    ]


def _document(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
