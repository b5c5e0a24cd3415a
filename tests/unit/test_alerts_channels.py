"""Slack and Telegram against a real HTTP server: exact bytes, every kind of answer, no secret anywhere."""

from __future__ import annotations

import json
import sys
import time
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowsnest.alerts import (
    AlertSeverity,
    AppriseChannel,
    Channel,
    Notification,
    Outcome,
    SlackChannel,
    TelegramChannel,
    Verdict,
)
from crowsnest.alerts._alert import label, make_alert
from crowsnest.alerts._http import retry_after
from crowsnest.alerts._text import slack_escape, slack_section, telegram_text, utf16_units
from tests.alert_sink import AlertSink, Reply, unused_url
from tests.log_sink import BlackHole

TOKEN = "123456789:ABCdefGHIjklMNOpqrsTUVwxyz"
SECRETS = ("s3cr3tHook", TOKEN)
METADATA = (("VIX", "38.5"), ("Timestamp", "2024-03-15T14:32:00Z"))
SAMPLE = Notification(
    AlertSeverity.CRITICAL, "Kill Switch Activated", "Trading halted due to circuit breaker: VIX > 35", METADATA
)
# the source's document, compact; typed here, not derived from the code
SLACK_SAMPLE = (
    '{"text":"\u26a0\ufe0f CRITICAL: Kill Switch Activated","blocks":[{"type":"section","text":{"type":"mrkdwn",'
    '"text":"*Kill Switch Activated*\\n\\nTrading halted due to circuit breaker: VIX > 35\\n\\n'
    '*Metadata:*\\n\u2022 VIX: 38.5\\n\u2022 Timestamp: 2024-03-15T14:32:00Z"}}]}'
).encode()
TELEGRAM_SAMPLE = (
    '{"chat_id":"-1001234567890","text":"\U0001f534 CRITICAL: Kill Switch Activated\\n'
    "Trading halted due to circuit breaker: VIX > 35\\nMetadata:\\n"
    '\u2022 VIX: 38.5\\n\u2022 Timestamp: 2024-03-15T14:32:00Z"}'
).encode()


@pytest.fixture
def sink() -> Iterator[AlertSink]:
    with AlertSink() as sink:
        yield sink


def slack(sink: AlertSink) -> SlackChannel:
    return SlackChannel(sink.slack_url)


def telegram(sink: AlertSink, chat_id: str | int = "-1001234567890") -> TelegramChannel:
    return TelegramChannel(TOKEN, chat_id, api_url=sink.url)


def deliver(channel: Channel, notification: Notification = SAMPLE, timeout_seconds: float = 2.0) -> Outcome:
    outcome = channel.deliver(notification, timeout_seconds=timeout_seconds)
    assert not any(secret in f"{outcome!r} {channel!r}" for secret in SECRETS)
    return outcome


def test_slack_payload_is_the_source_s_to_the_byte(sink: AlertSink) -> None:
    assert deliver(slack(sink)).verdict is Verdict.DELIVERED
    [request] = sink.requests
    assert request.body == SLACK_SAMPLE
    assert request.path == "/services/T000/B000/s3cr3tHook"
    assert request.headers["Content-Type"].startswith("application/json")


def test_telegram_payload_is_the_source_s_to_the_byte(sink: AlertSink) -> None:
    sink.default = Reply(body=b'{"ok":true,"result":{}}')
    assert deliver(telegram(sink)).verdict is Verdict.DELIVERED
    [request] = sink.requests
    assert request.body == TELEGRAM_SAMPLE
    assert request.path == f"/bot{TOKEN}/sendMessage"


@pytest.mark.parametrize("chat_id", [-1001234567890, "-1001234567890", "42", "@desk_alerts"])
def test_telegram_takes_the_chat_id_as_it_is_given(sink: AlertSink, chat_id: str | int) -> None:
    deliver(telegram(sink, chat_id))
    assert sink.requests[0].json["chat_id"] == chat_id


def test_info_makes_no_sound_on_telegram(sink: AlertSink) -> None:
    deliver(telegram(sink), Notification(AlertSeverity.INFO, "Retrained", ""))
    assert sink.requests[0].json == {
        "chat_id": "-1001234567890",
        "text": "🔵 INFO: Retrained",
        "disable_notification": True,
    }


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.DELIVERED) for status in (200, 201, 204)),
        *((status, Verdict.RETRY) for status in (408, 425, 429, 500, 502, 503, 504)),
        *((status, Verdict.REJECTED) for status in (301, 302, 307, 308, 400, 401, 403, 404, 410)),
    ],
)
def test_verdict_of_a_status(sink: AlertSink, status: int, verdict: Verdict) -> None:
    sink.default = Reply(status, b"")
    assert deliver(slack(sink)).verdict is verdict


def test_a_redirect_is_not_followed(sink: AlertSink) -> None:
    with AlertSink() as other:
        for status in (301, 302, 307, 308):
            sink.default = Reply(status, b"", {"Location": f"{other.url}/stolen"})
            assert deliver(slack(sink)).verdict is Verdict.REJECTED
            assert deliver(telegram(sink)).verdict is Verdict.REJECTED
        assert other.requests == []
        assert len(sink.requests) == 8


def test_retry_after_of_a_header_and_of_telegram_s_body(sink: AlertSink) -> None:
    sink.default = Reply(429, b"", {"Retry-After": "17"})
    assert deliver(slack(sink)) == Outcome(Verdict.RETRY, "HTTP 429", 17.0)
    sink.default = Reply(429, b'{"ok":false,"error_code":429,"parameters":{"retry_after":23}}')
    assert deliver(telegram(sink)).retry_after_seconds == 23.0
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after(date) or 0) <= 30
    assert retry_after("-3") is retry_after("soon") is retry_after("") is retry_after(None) is None


def test_telegram_s_refusal_with_status_200_is_a_refusal(sink: AlertSink) -> None:
    sink.default = Reply(200, b'{"ok":false,"description":"Bad Request: chat not found"}')
    assert deliver(telegram(sink)).verdict is Verdict.REJECTED


def test_a_dead_server_is_a_reason_to_retry() -> None:
    outcome = deliver(SlackChannel(unused_url()))
    assert outcome.verdict is Verdict.RETRY
    assert "ConnectionRefusedError" in outcome.detail


def test_every_wait_for_an_answer_has_an_end(sink: AlertSink) -> None:
    with BlackHole() as hole:
        begun = time.monotonic()
        assert deliver(SlackChannel(f"{hole.url}/s3cr3tHook"), timeout_seconds=0.2).verdict is Verdict.RETRY
        assert time.monotonic() - begun < 1
    sink.drip_seconds = 0.03  # each byte arrives well within the timeout, the answer does not
    begun = time.monotonic()
    assert deliver(slack(sink), timeout_seconds=0.3).verdict is Verdict.RETRY
    assert time.monotonic() - begun < 1


def test_an_echoed_secret_is_not_repeated(sink: AlertSink) -> None:
    sink.default = Reply(404, b"no such hook: /services/T000/B000/s3cr3tHook")
    assert deliver(slack(sink)).detail == "HTTP 404 no such hook: /***"
    sink.default = Reply(404, b"no such hook: s3cr3tHook")
    assert deliver(slack(sink)).detail == "HTTP 404 no such hook: ***"
    sink.default = Reply(404, b"x" * 190 + b" s3cr3tHook")
    assert "s3cr3t" not in deliver(slack(sink)).detail
    sink.default = Reply(404, f"no such bot: {TOKEN}".encode())
    assert deliver(telegram(sink)).detail == "HTTP 404 no such bot: ***"
    sink.default = Reply(404, f"no such key: {TOKEN[10:]}".encode())
    assert deliver(telegram(sink)).detail == "HTTP 404 no such key: ***"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/s3cr3tHook",
        "https://user:s3cr3tHook@hooks.slack.com/services",
        "https://hooks.slack.com:s3cr3tHook/services",
        "https://hooks.slack.com/services/s3cr3tHook\n",
        "https:///s3cr3tHook",
        "ftp://hooks.slack.com/s3cr3tHook",
        "s3cr3tHook",
        "",
    ],
)
def test_an_unusable_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match="Slack webhook URL") as caught:
        SlackChannel(url)
    assert "s3cr3tHook" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_source_s_placeholder_url_is_usable() -> None:
    assert repr(SlackChannel("https://hooks.slack.com/services/...")) == "SlackChannel(<https://hooks.slack.com/***>)"
    assert SlackChannel("http://mattermost.internal/hooks/x", allow_http=True).name == "slack"


@pytest.mark.parametrize("token", ["", "123", "123:", "123:a b", "x:abc", "123:abc/../getMe", "123:abc\n"])
def test_an_unusable_token_is_refused_without_quoting_it(token: str) -> None:
    with pytest.raises(ValueError, match="bot token") as caught:
        TelegramChannel(token, 1)
    assert not token or f"{token!r}" not in str(caught.value)


@pytest.mark.parametrize("chat_id", ["", "abc", "@x", True, 1.5, "1 2"])
def test_an_unusable_chat_id_is_refused(chat_id: str | int) -> None:
    with pytest.raises(ValueError, match="chat id"):
        TelegramChannel(TOKEN, chat_id)


def test_slack_escapes_what_could_act() -> None:
    assert slack_escape("<!channel> & <https://evil|click>") == "&lt;!channel&gt; &amp; &lt;https://evil|click&gt;"
    assert slack_escape("VIX > 35") == "VIX > 35"
    assert slack_escape("> quote\n > quote\na > b") == "&gt; quote\n &gt; quote\na > b"
    assert slack_escape("&lt;") == "&amp;lt;"


@given(st.text(alphabet=st.sampled_from("<>&! @a\n;lt"), max_size=60))
def test_no_text_can_act_in_slack(text: str) -> None:
    escaped = slack_escape(text)
    assert "<" not in escaped
    assert not any(line.lstrip().startswith(">") for line in escaped.splitlines())
    assert escaped.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&") == text


@given(
    st.text(max_size=80),
    st.text(alphabet=st.sampled_from("a<&🔴é\n "), max_size=40).flatmap(
        lambda text: st.integers(0, 3000).map(lambda times: text * times)
    ),
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=500)), max_size=20),
)
def test_limits_hold_and_a_cut_says_so(title: str, message: str, metadata: list[tuple[str, str]]) -> None:
    notification = Notification(AlertSeverity.CRITICAL, title, message[:8000], tuple(metadata))
    text, section = telegram_text(notification), slack_section(notification)
    assert utf16_units(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2 <= 4096
    assert len(section) <= 3000
    whole = sum(map(len, (title, message[:8000]))) + sum(len(name) + len(value) for name, value in metadata)
    if whole > 4096:
        assert "truncated" in text
    if "truncated" in section:
        before, _, _ = section.partition("\n… [truncated")
        assert not any(before.endswith(part) for part in ("&", "&a", "&am", "&amp", "&l", "&lt", "&g", "&gt"))


def test_a_long_message_is_cut_and_its_metadata_stays() -> None:
    notification = Notification(AlertSeverity.WARNING, "T", "🔴" * 5000, METADATA)
    text = telegram_text(notification)
    assert text.endswith("2024-03-15T14:32:00Z")
    assert 4090 <= utf16_units(text) <= 4096
    cut = 5000 - text.count("🔴")
    assert f"[truncated, {cut} characters left out]" in text
    section = slack_section(Notification(AlertSeverity.WARNING, "T", "&" * 5000, METADATA))
    assert section.endswith("2024-03-15T14:32:00Z")
    assert 2990 <= len(section) <= 3000


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_alert_is_made_of_anything() -> None:
    alert = make_alert("nonsense", Hostile(), None, {Hostile(): Hostile(), "b": "\ud800", "c": "x\0y" * 900}, None, 0.0)
    assert alert.severity is AlertSeverity.CRITICAL
    assert alert.title == "(cannot be printed)"
    assert alert.metadata[1] == ("b", "?")
    assert len(alert.metadata[2][1]) <= 500
    assert make_alert("info", "a\n b", "m", 5, None, 0).title == "a b"
    assert make_alert(AlertSeverity.INFO, "", "m", {str(n): n for n in range(99)}, None, 0).metadata[-1] == (
        "left out",
        "49 more entries",
    )
    assert make_alert("AlertSeverity.WARNING", "t", "", None, None, 0).severity is AlertSeverity.WARNING
    assert make_alert("Info", "t", "", None, None, 0).severity is AlertSeverity.INFO


def test_times_are_shown_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    values = {
        "timestamp": "2024-03-15T14:32:00",
        "a": datetime(2024, 3, 15, 14, 32),  # noqa: DTZ001 - what the source's utcnow() makes
        "b": datetime(2024, 3, 15, 16, 32, tzinfo=east),
        "c": "2024-03-15T14:32:00",
    }
    shown = [value for _, value in make_alert("info", "t", "", values, None, 0).metadata]
    assert shown == ["2024-03-15T14:32:00Z", "2024-03-15T14:32:00Z", "2024-03-15T14:32:00Z", "2024-03-15T14:32:00"]


def test_the_fingerprint_is_of_what_stays_the_same() -> None:
    def mark(**metadata: object) -> str:
        return make_alert("critical", "t", "m", metadata, None, 0).fingerprint

    assert mark(vix=38.5, timestamp="2024-03-15T14:32:00") == mark(vix=39.0, timestamp="2024-03-15T14:33:00")
    assert mark(symbol="AAPL") != mark(symbol="MSFT")
    assert (
        make_alert("info", "t", "m", None, None, 0).fingerprint != make_alert("critical", "t", "m", None, None, 0).fingerprint
    )


def test_labels_read_as_people_write() -> None:
    assert [label(key) for key in ("vix", "timestamp", "order_id", "strategy", "PDT used", "")] == [
        "VIX",
        "Timestamp",
        "Order ID",
        "Strategy",
        "PDT used",
        "",
    ]


class FakeApprise:
    """apprise as far as the adapter uses it."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.calls: list[dict[str, object]] = []
        self.result = True

    def __call__(self) -> FakeApprise:
        return self

    def __len__(self) -> int:
        return len(self.urls)

    def add(self, url: str) -> bool:
        self.urls.append(url)
        return "://" in url

    def notify(self, **call: object) -> bool:
        self.calls.append(call)
        return self.result


def test_apprise_is_imported_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ModuleNotFoundError, match=r"crowsnest\[apprise\]"):
        AppriseChannel(["json://x"])


def test_apprise_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeApprise()
    module = types.ModuleType("apprise")
    monkeypatch.setattr(module, "Apprise", fake, raising=False)
    monkeypatch.setitem(sys.modules, "apprise", module)
    channel = AppriseChannel(["discord://s3cr3tHook/x"])
    assert isinstance(channel, Channel)
    assert deliver(channel).verdict is Verdict.DELIVERED
    assert fake.calls == [
        {
            "title": "CRITICAL: Kill Switch Activated",
            "body": "Trading halted due to circuit breaker: VIX > 35\n• VIX: 38.5\n• Timestamp: 2024-03-15T14:32:00Z",
            "notify_type": "failure",
            "body_format": "text",
        }
    ]
    fake.result = False
    assert deliver(channel).verdict is Verdict.RETRY
    with pytest.raises(ValueError, match="number 2") as caught:
        AppriseChannel(["a://b", "s3cr3tHook"])
    assert "s3cr3tHook" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_real_apprise_delivers(sink: AlertSink) -> None:
    pytest.importorskip("apprise", reason="apprise is an extra and is not installed")
    channel = AppriseChannel([sink.url.replace("http", "json", 1)])
    assert deliver(channel).verdict is Verdict.DELIVERED
    document = json.loads(sink.requests[0].body)
    assert document["title"] == "CRITICAL: Kill Switch Activated"
    assert "VIX: 38.5" in document["message"]
    sink.default = Reply(500)
    assert deliver(channel).verdict is Verdict.RETRY
