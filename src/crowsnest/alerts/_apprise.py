"""One adapter to the services that apprise knows; apprise itself is an extra: `pip install crowsnest[apprise]`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from crowsnest.alerts._alert import AlertSeverity, Notification
from crowsnest.alerts._channels import RateLimit
from crowsnest.alerts._http import Outcome, Verdict

_KINDS: Final = {AlertSeverity.CRITICAL: "failure", AlertSeverity.WARNING: "warning", AlertSeverity.INFO: "info"}

_RATE_LIMIT: Final = RateLimit(per_second=0.5, burst=3)


class AppriseChannel:
    """Sends through apprise to one or more of its URLs (`discord://…`, `ntfy://…`, `mailto://…`).

    apprise says only whether all of its services took a message: a failure of one repeats the message to all, and their
    time-outs are apprise's own (`?cto=` and `?rto=` in the URL), not the manager's.

    Args:
        urls: apprise URLs; they hold credentials and are shown nowhere.
        name: name in `stats()`.
        rate_limit: what the services take.

    Raises:
        ModuleNotFoundError: apprise is not installed.
        ValueError: apprise does not know a URL; the text does not quote it.
    """

    def __init__(self, urls: Sequence[str], *, name: str = "apprise", rate_limit: RateLimit = _RATE_LIMIT) -> None:
        if isinstance(urls, str) or not urls:
            raise ValueError("urls must be a non-empty sequence of apprise URLs")
        try:
            apprise: Any = importlib.import_module("apprise")
        except ModuleNotFoundError:
            raise ModuleNotFoundError("AppriseChannel needs apprise: pip install crowsnest[apprise]") from None
        self._services: Any = apprise.Apprise()
        for number, url in enumerate(urls, start=1):
            if not self._services.add(url):
                raise ValueError(f"apprise does not know URL number {number}")
        self.name = name
        self.rate_limit = rate_limit

    def __repr__(self) -> str:
        return f"AppriseChannel(name={self.name!r}, {len(self._services)} services)"

    def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:  # noqa: ARG002 - see the class
        """Hand the notification to apprise once."""
        lines = [notification.message, *(f"• {name}: {value}" for name, value in notification.metadata)]
        done = self._services.notify(
            title=notification.heading,
            body="\n".join(line for line in lines if line) or notification.title,
            notify_type=_KINDS[notification.severity],
            body_format="text",
        )
        return Outcome(Verdict.DELIVERED) if done else Outcome(Verdict.RETRY, "apprise could not deliver to every service")
