"""Where alerts go: the channel protocol, Slack and Telegram.

A channel delivers one message and says what came of it. When to send, again or at all, is not its business.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, runtime_checkable

from crowsnest.alerts._alert import AlertSeverity, Notification
from crowsnest.alerts._http import Endpoint, Outcome, Verdict
from crowsnest.alerts._text import slack_section, slack_text, telegram_text

TELEGRAM_API_URL: Final = "https://api.telegram.org"

_BOT_TOKEN: Final = re.compile(r"\d+:[A-Za-z0-9_-]+", re.ASCII)
_CHAT_ID: Final = re.compile(r"-?\d+|@[A-Za-z]\w{3,}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: `burst` messages at once, `per_second` on average."""

    per_second: float
    burst: int

    def __post_init__(self) -> None:
        if not (self.per_second > 0 and self.burst >= 1):
            raise ValueError("a rate limit needs per_second > 0 and burst >= 1")


@runtime_checkable
class Channel(Protocol):
    """A way to reach people. `deliver` runs on the manager's thread, one message at a time."""

    @property
    def name(self) -> str:
        """Name in `stats()`."""

    @property
    def rate_limit(self) -> RateLimit:
        """What the service takes; CRITICAL may go a burst beyond it."""

    def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """Deliver once, within `timeout_seconds`; what it raises counts as an attempt that failed."""


class SlackChannel:
    """A Slack incoming webhook, or a service that takes the same payload (Mattermost, Rocket.Chat).

    Args:
        webhook_url: `https://hooks.slack.com/services/...`; it is the credential.
        allow_http: accept http to another machine (an own Mattermost in a private network).

    Raises:
        ValueError: the URL is not usable; the text does not quote it.
    """

    name: Final = "slack"
    # Slack: "1 per second", short bursts allowed
    rate_limit: Final = RateLimit(per_second=1.0, burst=3)

    def __init__(self, webhook_url: str, *, allow_http: bool = False) -> None:
        self._endpoint = Endpoint(webhook_url, what="the Slack webhook URL", allow_http=allow_http)

    def __repr__(self) -> str:
        return f"SlackChannel({self._endpoint!r})"

    def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """Post the notification once."""
        return self._endpoint.post(slack_payload(notification), timeout_seconds=timeout_seconds)[0]


class TelegramChannel:
    """A Telegram bot that writes to one chat.

    Args:
        bot_token: as @BotFather gave it.
        chat_id: of a user, group (negative) or channel, as int or str; or `@channelname`.
        api_url: base URL of the Bot API; your own server, if you run one.

    Raises:
        ValueError: an argument is not usable; the text does not quote the token.
    """

    name: Final = "telegram"
    # Telegram: 20 messages a minute to a group
    rate_limit: Final = RateLimit(per_second=20 / 60, burst=3)

    def __init__(self, bot_token: str, chat_id: str | int, *, api_url: str = TELEGRAM_API_URL) -> None:
        if not isinstance(bot_token, str) or not _BOT_TOKEN.fullmatch(bot_token):
            raise ValueError("the Telegram bot token must look like 123456789:ABC…")
        if isinstance(chat_id, bool) or not _CHAT_ID.fullmatch(str(chat_id)):
            raise ValueError(f"the Telegram chat id must be a number or @channelname, got {chat_id!r}")
        self._endpoint = Endpoint(
            f"{api_url.rstrip('/')}/bot{bot_token}/sendMessage", what="the Telegram API URL", secret=bot_token
        )
        self._chat_id = chat_id

    def __repr__(self) -> str:
        return f"TelegramChannel({self._endpoint!r}, chat_id={self._chat_id!r})"

    def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        """Post the notification once."""
        outcome, body = self._endpoint.post(telegram_payload(notification, self._chat_id), timeout_seconds=timeout_seconds)
        answer = _json_object(body)
        parameters = answer.get("parameters")
        seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
        if isinstance(seconds, int | float) and seconds >= 0 and outcome.verdict is Verdict.RETRY:
            return replace(outcome, retry_after_seconds=max(float(seconds), outcome.retry_after_seconds or 0.0))
        if outcome.verdict is Verdict.DELIVERED and answer.get("ok") is False:
            return replace(outcome, verdict=Verdict.REJECTED)
        return outcome


def slack_payload(notification: Notification) -> dict[str, Any]:
    """The document posted to a webhook."""
    section = {"type": "section", "text": {"type": "mrkdwn", "text": slack_section(notification)}}
    return {"text": slack_text(notification), "blocks": [section]}


def telegram_payload(notification: Notification, chat_id: str | int) -> dict[str, Any]:
    """The document posted to `sendMessage`; INFO arrives without a sound."""
    payload: dict[str, Any] = {"chat_id": chat_id, "text": telegram_text(notification)}
    if notification.severity is AlertSeverity.INFO:
        payload["disable_notification"] = True
    return payload


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
