"""Alert channels from the environment: `SLACK_WEBHOOK_URL`, `TELEGRAM_BOT_TOKEN`, `TELEGRAM_CHAT_ID`, or a file for each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crowsnest.alerts._channels import TELEGRAM_API_URL


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What the channels need. Secrets are not in `repr`."""

    slack_webhook_url: str | None = field(default=None, repr=False)
    telegram_bot_token: str | None = field(default=None, repr=False)
    telegram_chat_id: str | None = None
    telegram_api_url: str = TELEGRAM_API_URL

    def __post_init__(self) -> None:
        if (self.telegram_bot_token is None) != (self.telegram_chat_id is None):
            missing = "TELEGRAM_CHAT_ID" if self.telegram_chat_id is None else "TELEGRAM_BOT_TOKEN"
            raise ValueError(f"Telegram needs a bot token and a chat id; {missing} is missing")

    @property
    def channels(self) -> tuple[str, ...]:
        """`log` and the channels there are settings for."""
        slack = ("slack",) if self.slack_webhook_url is not None else ()
        telegram = ("telegram",) if self.telegram_bot_token is not None else ()
        return ("log", *slack, *telegram)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> AlertSettings:
        """Read the environment, by default this process's.

        Each name may have `_FILE` added and then names a file that holds the value, as secrets are mounted into containers.
        `TELEGRAM_API_URL` is the base URL of the Bot API, if not Telegram's own. Empty means unset.

        Raises:
            ValueError: a name is given both ways, its file cannot be read, or Telegram is configured by half; the text
                never holds a value.
        """
        env = os.environ if env is None else env
        return cls(
            slack_webhook_url=_value(env, "SLACK_WEBHOOK_URL"),
            telegram_bot_token=_value(env, "TELEGRAM_BOT_TOKEN"),
            telegram_chat_id=_value(env, "TELEGRAM_CHAT_ID"),
            telegram_api_url=_value(env, "TELEGRAM_API_URL") or TELEGRAM_API_URL,
        )


def _value(env: Mapping[str, str], name: str) -> str | None:
    direct, file = env.get(name, "").strip(), env.get(f"{name}_FILE", "").strip()
    if direct and file:
        raise ValueError(f"{name} and {name}_FILE are both set")
    if not file:
        return direct or None
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_FILE: cannot read {file}: {type(error).__name__}") from None
    if not value:
        raise ValueError(f"{name}_FILE: {file} is empty")
    return value
