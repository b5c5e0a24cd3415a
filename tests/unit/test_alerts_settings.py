"""Alert channels from the environment: values or files, and never a secret in what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from crowsnest.alerts import AlertManager, AlertSettings

HOOK = "https://hooks.slack.com/services/T000/B000/s3cr3tHook"
TOKEN = "123456789:ABCdefGHIjklMNOpqrsTUVwxyz"


def test_nothing_set_is_the_log_alone() -> None:
    assert AlertSettings.from_env({}) == AlertSettings()
    assert AlertSettings.from_env({"SLACK_WEBHOOK_URL": "  "}).channels == ("log",)


def test_the_source_s_variables() -> None:
    env = {"SLACK_WEBHOOK_URL": HOOK, "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "-1001234567890"}
    settings = AlertSettings.from_env(env)
    assert settings.channels == ("log", "slack", "telegram")
    assert (settings.slack_webhook_url, settings.telegram_bot_token, settings.telegram_chat_id) == tuple(env.values())
    with AlertManager(settings=settings) as manager:
        assert list(manager.stats()) == ["log", "slack", "telegram"]
        assert not any(secret in f"{settings!r} {manager!r}" for secret in ("s3cr3tHook", TOKEN))


def test_values_from_files(tmp_path: Path) -> None:
    for name, value in (("hook", HOOK), ("token", TOKEN), ("chat", "42")):
        (tmp_path / name).write_text(f"{value}\n")
    settings = AlertSettings.from_env(
        {
            "SLACK_WEBHOOK_URL_FILE": str(tmp_path / "hook"),
            "TELEGRAM_BOT_TOKEN_FILE": str(tmp_path / "token"),
            "TELEGRAM_CHAT_ID_FILE": str(tmp_path / "chat"),
        }
    )
    assert (settings.slack_webhook_url, settings.telegram_bot_token, settings.telegram_chat_id) == (HOOK, TOKEN, "42")


def test_what_is_wrong_is_said_without_values(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for env, words in (
        ({"SLACK_WEBHOOK_URL": HOOK, "SLACK_WEBHOOK_URL_FILE": "/x"}, "both set"),
        ({"SLACK_WEBHOOK_URL_FILE": str(tmp_path / "none")}, "cannot read"),
        ({"SLACK_WEBHOOK_URL_FILE": str(tmp_path / "empty")}, "is empty"),
        ({"TELEGRAM_BOT_TOKEN": TOKEN}, "TELEGRAM_CHAT_ID is missing"),
        ({"TELEGRAM_CHAT_ID": "1"}, "TELEGRAM_BOT_TOKEN is missing"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            AlertSettings.from_env(env)
        assert "s3cr3tHook" not in str(caught.value)
        assert TOKEN not in str(caught.value)


def test_the_environment_configures_the_channels_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", HOOK)
    for channels, names in (
        (None, ["log", "slack"]),
        (["log"], ["log"]),
        (["slack", "telegram"], ["log", "slack", "telegram"]),
    ):
        with AlertManager(channels) as manager:
            assert list(manager.stats()) == names


@pytest.mark.parametrize("channels", [["log", "sms"], "slack", [""]])
def test_unknown_channels_are_refused(channels: list[str]) -> None:
    with pytest.raises(ValueError, match="channel"):
        AlertManager(channels, settings=AlertSettings())


def test_policies_out_of_range_are_refused() -> None:
    for name in ("max_queued", "max_age_seconds", "max_attempts", "request_timeout_seconds", "close_timeout_seconds"):
        with pytest.raises(ValueError, match="positive"):
            AlertManager(["log"], **{name: 0})  # type: ignore[arg-type]
