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
        sender = _Sender(send)
        try:
            if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > MAX_TARGET_BYTES:
                raise Problem("too-large", f"the address is longer than {MAX_TARGET_BYTES} bytes", "ask for less at once")
            await self._app(scope, await _with_body(scope, receive), sender)
        except Problem as problem:
            await problem.response(scope, receive, sender)
        except (ClientGone, _SlowReader):
            # Without an answer the server closes the connection, which is what there is to say.
            pass


async def _with_body(scope: Scope, receive: Receive) -> Receive:
    """Read a body before anything is done with the request: it is small, or refused, and its sender has to be quick.

    Raises:
        Problem: too large, or too slow.
    """
    headers = dict(scope["headers"])
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return receive
    length = headers.get(b"content-length", b"0")
    too_large = Problem("too-large", f"a body has at most {MAX_BODY_BYTES} bytes", "send less", {"Connection": "close"})
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Problem(
            "too-slow", f"the body did not arrive within {BODY_SECONDS:g} s", headers={"Connection": "close"}
        ) from None
    waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


class _SlowReader(Exception):
    pass


class _Sender:
    """Sends, unless the reader has stopped reading; and what every answer has in its head."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("X-Content-Type-Options", "nosniff")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise _SlowReader from None
