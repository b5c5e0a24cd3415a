"""`AlertManager`: what a trading process calls to tell people."""

# ruff: noqa: BLE001 - nothing may be raised into a trading thread
from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from crowsnest.alerts._alert import AlertSeverity, make_alert
from crowsnest.alerts._channels import Channel, RateLimit, SlackChannel, TelegramChannel
from crowsnest.alerts._ledger import ChannelStats, DropReason
from crowsnest.alerts._log import AlertLog
from crowsnest.alerts._note import nesting, note
from crowsnest.alerts._outbox import Outbox, Policy
from crowsnest.alerts._settings import AlertSettings
from crowsnest.alerts._worker import Route, Worker

_LOG: Final = "log"
_KNOWN: Final[Mapping[str, RateLimit]] = {"slack": SlackChannel.rate_limit, "telegram": TelegramChannel.rate_limit}


def _clock() -> float:
    """Seconds that also pass while the machine is suspended: an alert ages meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class AlertManager:
    """Sends alerts to people: to the log always, to Slack, Telegram and others as configured.

    `send` and `send_alert` take microseconds and never raise: the network is a background thread's affair. Every alert
    accepted is delivered, part of a digest, left out as a repeat, or counted as dropped with a reason; see `stats`.
    Delivery is at least once: a message whose acknowledgement is lost is sent again.

    - CRITICAL is sent alone and first, takes the place of lower ones when the queue is full, and is retried for
      `critical_max_age_seconds`.
    - WARNING and INFO: the first is sent at once; what follows within `group_window_seconds` becomes one digest.
    - The same alert within `dedupe_window_seconds` is counted, not sent again.

    A forked child starts with empty queues and its own ledger. At interpreter exit `close` is called. A process that ends by
    `os._exit` should call `drain` before. This is not Prometheus Alertmanager: no rules, routes or silences live here.

    Args:
        channels: `log` (always there), `slack`, `telegram`, or `Channel` objects; by default all that `settings` configure.
        settings: by default read from the environment, see `AlertSettings.from_env`.
        max_queued: most alerts waiting for one channel.
        dedupe_window_seconds: how long a repeat is left out; 0 sends all.
        group_window_seconds: how long WARNING and INFO are collected after one was sent; 0 sends them as they come.
        max_age_seconds: WARNING and INFO that could not be sent for so long are dropped.
        critical_max_age_seconds: the same for CRITICAL.
        max_attempts: failed attempts after which WARNING and INFO are dropped.
        request_timeout_seconds: longest time a delivery takes, on the background thread.
        close_timeout_seconds: longest time `close` spends on delivering what is left.

    Raises:
        ValueError: an argument or a setting is not usable; the text holds no secret.
    """

    def __init__(
        self,
        channels: Sequence[str | Channel] | None = None,
        *,
        settings: AlertSettings | None = None,
        max_queued: int = 500,
        dedupe_window_seconds: float = 300.0,
        group_window_seconds: float = 30.0,
        max_age_seconds: float = 900.0,
        critical_max_age_seconds: float = 3_600.0,
        max_attempts: int = 20,
        request_timeout_seconds: float = 5.0,
        close_timeout_seconds: float = 5.0,
        clock: Callable[[], float] = _clock,
    ) -> None:
        if not (request_timeout_seconds > 0 and close_timeout_seconds > 0):
            raise ValueError("timeouts must be positive")
        self._policy = Policy(
            max_queued=max_queued,
            dedupe_window_seconds=dedupe_window_seconds,
            group_window_seconds=group_window_seconds,
            max_age_seconds=max_age_seconds,
            critical_max_age_seconds=critical_max_age_seconds,
            max_attempts=max_attempts,
        )
        self._timeout_seconds = request_timeout_seconds
        self._close_timeout_seconds = close_timeout_seconds
        self._clock = clock
        self._closed = False
        self._log = AlertLog()
        self._routes: dict[str, Route] = {}
        settings = AlertSettings.from_env() if settings is None else settings
        self._add_channels(settings.channels if channels is None else channels)
        if "slack" in self._routes and settings.slack_webhook_url is not None:
            self.configure_slack(webhook_url=settings.slack_webhook_url)
        if "telegram" in self._routes and settings.telegram_bot_token is not None and settings.telegram_chat_id is not None:
            self.configure_telegram(
                bot_token=settings.telegram_bot_token,
                chat_id=settings.telegram_chat_id,
                api_url=settings.telegram_api_url,
            )
        self._worker = self._make_worker()
        _managers.add(self)

    def __repr__(self) -> str:
        return f"AlertManager(channels={[_LOG, *self._routes]!r})"

    def __enter__(self) -> AlertManager:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- channels -----------------------------------------------------------------------------------------------------

    def configure_slack(self, webhook_url: str) -> None:
        """Send to a Slack incoming webhook, from now on.

        Raises:
            ValueError: the URL is not usable; the text does not quote it.
        """
        self.add_channel(SlackChannel(webhook_url))

    def configure_telegram(self, bot_token: str, chat_id: str | int, *, api_url: str | None = None) -> None:
        """Send to a Telegram chat, from now on.

        Raises:
            ValueError: an argument is not usable; the text does not quote the token.
        """
        self.add_channel(
            TelegramChannel(bot_token, chat_id) if api_url is None else TelegramChannel(bot_token, chat_id, api_url=api_url)
        )

    def add_channel(self, channel: Channel) -> None:
        """Add a channel, or replace the one of the same name; its queue and ledger stay.

        Raises:
            ValueError: the name is taken by the log, or empty.
        """
        name = channel.name
        if not isinstance(name, str) or not name or name == _LOG:
            raise ValueError(f"not a channel's name: {name!r}")
        route = self._routes.get(name)
        if route is None:
            # a new dict: other threads iterate over the old one
            self._routes = {**self._routes, name: Route(name, channel, Outbox(channel.rate_limit, self._policy))}
        else:
            route.outbox.limit(channel.rate_limit)
            route.channel = channel

    def _add_channels(self, channels: Sequence[str | Channel]) -> None:
        if isinstance(channels, str):
            raise ValueError("channels must be a sequence, such as ['log', 'slack']")
        for channel in channels:
            if not isinstance(channel, str):
                self.add_channel(channel)
            elif channel in _KNOWN:
                self._routes.setdefault(channel, Route(channel, None, Outbox(_KNOWN[channel], self._policy)))
            elif channel != _LOG:
                raise ValueError(f"unknown channel {channel!r}; known are log, slack, telegram and Channel objects")

    # -- sending ------------------------------------------------------------------------------------------------------

    async def send_alert(
        self,
        severity: AlertSeverity | str,
        title: str,
        message: str = "",
        metadata: Mapping[str, object] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> bool:
        """Send an alert; see `send`. Nothing is awaited inside: it is as quick, and cannot be cancelled half-way."""
        return self.send(severity, title, message, metadata, fingerprint=fingerprint)

    def send(
        self,
        severity: AlertSeverity | str,
        title: str,
        message: str = "",
        metadata: Mapping[str, object] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> bool:
        """Log an alert and queue it for the other channels; never blocks on the network and never raises.

        Args:
            severity: what names none counts as CRITICAL.
            title: one line.
            message: text; cut where a channel has a limit, and the text says so.
            metadata: shown as bullets, in order; values as `str()` shows them, times in UTC.
            fingerprint: what makes two alerts the same; by default severity, title, message and the metadata values that
                are text.

        Returns:
            Whether every configured channel took it. False also after `close`.
        """
        try:
            return self._send(severity, title, message, metadata, fingerprint)
        except Exception as error:  # out of memory at most; a trading thread must not learn of it here
            note("send", f"alert not queued: {type(error).__name__}")
            return False

    def _send(self, severity: object, title: object, message: object, metadata: object, fingerprint: object) -> bool:
        routes = list(self._routes.values())
        if nesting.depth:
            self._log.refuse(DropReason.RECURSION)
            for route in routes:
                route.outbox.refuse(DropReason.RECURSION)
            return False
        alert = make_alert(severity, title, message, metadata, fingerprint, self._clock())
        taken = not self._closed
        # queued before logged: a handler of the user may be slow
        for route in routes:
            if route.channel is None:
                route.outbox.refuse(DropReason.NOT_CONFIGURED)
                note(f"{route.name}.configure", f"{route.name} is not configured, its alerts are dropped")
                taken = False
            else:
                taken = route.outbox.put(alert) and taken
        if routes and not self._closed:
            if not self._worker.is_running:
                self._start()
            self._worker.wake()
        self._log.write(alert)
        return taken

    def _start(self) -> None:
        self._worker.start()
        # A child of multiprocessing leaves by os._exit, which runs no atexit hooks, only its own finalizers.
        process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(self, self.close, exitpriority=0)

    # -- ending and reporting -----------------------------------------------------------------------------------------

    def drain(self, timeout_seconds: float) -> bool:
        """Send what waits without waiting for grouping windows, and wait up to `timeout_seconds` for it.

        Returns:
            Whether nothing is left: all is delivered, or dropped and counted.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            routes = list(self._routes.values())
            for route in routes:
                route.outbox.release()
            if all(route.outbox.is_empty for route in routes):
                return True
            self._worker.start()
            self._worker.wake()
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is left, for at most `timeout` seconds (default `close_timeout_seconds`); count the rest as dropped.

        Alerts sent afterwards are logged, and counted as dropped by the other channels. Calling it again has no effect.

        Returns:
            Whether nothing had to be dropped (`shutdown`).
        """
        if self._closed:
            return True
        self._closed = True
        for route in self._routes.values():
            route.outbox.seal()
        self._worker.stop(self._close_timeout_seconds if timeout is None else max(0.0, timeout))
        left = sum(route.outbox.abandon() for route in self._routes.values())
        if left:
            note("shutdown", f"closed with {left} alerts not delivered")
        return not left

    def stats(self) -> Mapping[str, ChannelStats]:
        """A snapshot of every channel's ledger, by channel name, `log` first."""
        return MappingProxyType(
            {_LOG: self._log.stats(), **{name: route.outbox.stats() for name, route in self._routes.items()}}
        )

    def _make_worker(self) -> Worker:
        return Worker(lambda: list(self._routes.values()), self._clock, self._timeout_seconds)

    def _after_fork_in_child(self) -> None:
        self._log = AlertLog()
        self._routes = {
            name: Route(name, route.channel, Outbox(route.channel.rate_limit if route.channel else _KNOWN[name], self._policy))
            for name, route in self._routes.items()
        }
        self._worker = self._make_worker()
        if self._closed:
            for route in self._routes.values():
                route.outbox.abandon()


_managers: weakref.WeakSet[AlertManager] = weakref.WeakSet()


def _reopen_after_fork() -> None:
    nesting.depth = 0
    for manager in list(_managers):
        with contextlib.suppress(Exception):  # a fork must succeed, whatever becomes of alerts
            manager._after_fork_in_child()  # noqa: SLF001 - same module


def _close_at_exit() -> None:
    for manager in list(_managers):
        with contextlib.suppress(Exception):
            manager.close()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reopen_after_fork)
