"""What every request goes through: bounded bodies, deadlines for slow senders and readers, headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crowsnest.api.problems import Problem

Result = TypeVar("Result")

MAX_BODY_BYTES: Final = 64 * 1024
MAX_TARGET_BYTES: Final = 32 * 1024
BODY_SECONDS: Final = 5.0
SEND_SECONDS: Final = 30.0
"""A reader that takes nothing for this long is cut off."""


class ClientGone(Exception):
    """Whoever asked has left; nobody reads an answer."""


async def disconnected(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do `work` unless the client leaves first: then it is cancelled, and so is what it waits for.

    Raises:
        ClientGone: the client left.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        try:
            if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > MAX_TARGET_BYTES:
                raise Problem("too-large", f"the address is longer than {MAX_TARGET_BYTES} bytes", "ask for less at once")
            _check_length(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except Problem as problem:
            if not exchange.has_begun:
                await problem.response(scope, receive, exchange.send)
        except (ClientGone, _SlowReader):
            # Without an answer the server closes the connection, which is what there is to say.
            pass


def _check_length(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > MAX_BODY_BYTES):
            raise Problem("too-large", f"a body has at most {MAX_BODY_BYTES} bytes", "send less", {"Connection": "close"})


class _SlowReader(Exception):
    pass


class _Exchange:
    """One request's messages, counted and timed."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._body_bytes = 0
        self._body_is_complete = False
        self._deadline: float | None = None
        self.has_begun = False

    async def receive(self) -> Message:
        """The next message; while the body is incomplete, only until its deadline."""
        if self._body_is_complete:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._deadline = self._deadline or now + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise Problem(
                "timeout", f"the body did not arrive within {BODY_SECONDS:g} s", "send it at once", {"Connection": "close"}
            ) from None
        if message["type"] == "http.request":
            self._body_bytes += len(message.get("body", b""))
            if self._body_bytes > MAX_BODY_BYTES:
                raise Problem("too-large", f"a body has at most {MAX_BODY_BYTES} bytes", "send less", {"Connection": "close"})
            self._body_is_complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send, unless the reader has stopped reading."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(raw=message["headers"])
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("X-Content-Type-Options", "nosniff")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise _SlowReader from None
