"""A secret never survives in any output, however it is nested and whatever it is written as."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowsnest.logs.redact import CUT, PNL_MASK, REDACTED, RedactionRules, Redactor
from crowsnest.logs.setup import LoggingSettings, LoggingSetup
from tests.log_sink import LogSink

CANARY = "CANARY7f3a9b2c5d8e1f4a6b7c9d0e2f"

SECRET_NAMES = [
    "password", "passwd", "secret", "token", "api_key", "authorization", "cookie", "Password", "DB_PASSWORD", "apiKey",
    "API-KEY",
    "X-Api-Key", "access_token", "refreshToken", "client_secret", "aws_secret_access_key", "Set-Cookie", "private_key",
    "passphrase", "credentials", "bearer", "Proxy-Authorization", "session_id", "telegram_bot_token", "slack_webhook_url",
    "listenKey", "binance.api.secret", "user_password_hash", "pwd", "x-auth", "ssh_key", "jwt",
]  # fmt: skip
HARMLESS_NAMES = [
    "symbol", "price", "quantity", "order_id", "token_count", "max_tokens_used", "key", "keys", "author", "passed",
    "strategy_id",
    "instrument", "latency_us", "action", "component", "tokenizer", "primary", "take_profit", "spot",
]  # fmt: skip

TEXTS = [
    "Authorization: Bearer {}",
    "bearer {}",
    "'Authorization': 'Basic {}'",
    "https://user:{}@example.com/path",
    "postgresql://trader:{}@db:5432/trades?sslmode=require",
    "redis://:{}@cache",
    "password={}",
    "password = '{}'",
    'login(user="bob", password="a \\" b {}")',
    "PASSWORD: {} and more",
    "api_key={}&symbol=AAPL",
    '{{"api_key": "{}", "symbol": "AAPL"}}',
    "{{'secret': '{}'}}",
    '{{"outer": "{{\\"token\\": \\"{}\\"}}"}}',
    "{{'tokens': ['{}', 'b']}}",
    "DB_PASSWORD=>{}",
    "Cookie: session={}; theme=dark",
    "set-cookie: a=b; sid={}",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE{}\nabc\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}",
    "https://hooks.slack.com/services/T00000000/B00000000/{}",
    "https://api.telegram.org/bot123456789:{}_padded-to-thirty-five/sendMessage",
    "chat 123456789:AA{}_padded-to-thirty-five",
    "xoxb-123456789012-{}",
    "ghp_{}",
    "sk-live_{}",
    "eyJhbGciOiJIUzI1NiJ9.{}.sig_nature",
    "https://discord.com/api/webhooks/1234/{}",
]


def has(output: object) -> bool:
    return CANARY in (output if isinstance(output, str) else json.dumps(output))


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", [CANARY, [CANARY], {"a": CANARY}, 12345, CANARY.encode()])
def test_values_of_secret_fields_are_replaced(name: str, value: object) -> None:
    assert Redactor().fields({name: value, "x": {name: [value]}}) == {name: REDACTED, "x": {name: REDACTED}}


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_other_fields_stay(name: str) -> None:
    assert Redactor().fields({name: "value", "x": 1.5}) == {name: "value", "x": 1.5}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("around", ["{}", "request failed: {}", "{} (attempt 2)", "first line\n{}\nlast line"])
def test_secrets_in_texts_are_replaced(text: str, around: str) -> None:
    full = around.replace("{}", text.format(CANARY), 1)
    assert has(full)
    cleaned = Redactor().text(full)
    assert not has(cleaned)
    assert REDACTED in cleaned


def test_an_aws_key_id_is_replaced() -> None:
    assert Redactor().text("key AKIAIOSFODNN7EXAMPLE used") == f"key {REDACTED} used"


@pytest.mark.parametrize(
    "text",
    [
        "order filled AAPL 100 @ 101.25",
        "tokens used: many",
        "see https://example.com/docs?a=b",
        "took 12:30:45 to pass the checkpoint",
        "mail to ops@example.com",
        "author: Bob",
        "the key point is speed",
        "basic strategies run",
        "risk-adjusted spread passed",
    ],
)
def test_harmless_texts_stay(text: str) -> None:
    assert Redactor().text(text) in (text, text.replace("many", REDACTED))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("closed with pnl=543.20", f"closed with pnl={PNL_MASK}"),
        ("PnL: -$1,200.50 today", f"PnL: {PNL_MASK} today"),
        ("unrealized_pnl is 12%", f"unrealized_pnl is {PNL_MASK}"),
        ("pnl report ready", "pnl report ready"),
    ],
)
def test_pnl_figures_are_masked(text: str, cleaned: str) -> None:
    assert Redactor().text(text) == cleaned
    assert Redactor(RedactionRules(mask_pnl=False)).text(text) == text


def test_pnl_fields_are_masked() -> None:
    fields = {"daily_pnl": 543.2, "unrealizedPnl": -1, "pnl": "12", "take_profit": 105.0}
    assert Redactor().fields(fields) == {**dict.fromkeys(fields, PNL_MASK), "take_profit": 105.0}
    assert Redactor(RedactionRules(mask_pnl=False)).fields(fields) == fields


def test_objects_become_plain_data() -> None:
    @dataclasses.dataclass
    class Login:
        user: str
        password: str

    class Opaque:
        def __repr__(self) -> str:
            return f"Opaque(token='{CANARY}')"

    values = {
        "login": Login("bob", CANARY),
        "opaque": Opaque(),
        "error": ValueError(f"password={CANARY}"),
        "set": {f"ghp_{CANARY}"},
    }
    cleaned = Redactor().fields(values)
    assert not has(cleaned)
    assert cleaned["login"] == {"user": "bob", "password": REDACTED}


def test_bytes_become_text() -> None:
    assert Redactor().fields({"body": b"password=hunter2 \xff", "view": memoryview(b"x")}) == {
        "body": f"password={REDACTED} \\xff",
        "view": "x",
    }


def test_collections_in_arguments_are_cleaned_by_name(tmp_path: Path) -> None:
    """`account` is the program's own name: no pattern for texts knows it."""
    rules = RedactionRules(names=frozenset({"account"}))
    setup = LoggingSetup(LoggingSettings(file=tmp_path / "a.log", console=False, victorialogs=False, redaction=rules))
    logger = logging.Logger("app", logging.DEBUG)  # noqa: LOG001
    logger.addHandler(setup)
    logger.info("%s", {"account": CANARY})
    logger.info("%s and %s", [{"account": CANARY}], 1)
    logger.info("%(account)s", {"account": CANARY})
    logger.info({"account": CANARY})
    lines = (tmp_path / "a.log").read_text()
    setup.close()
    assert lines.count(REDACTED) == 4
    assert not has(lines)


def test_what_is_nested_too_deep_or_too_large_is_cut_not_passed() -> None:
    deep: Any = CANARY
    for _ in range(50):
        deep = {"a": deep}
    loop: list[Any] = []
    loop += [loop, loop, CANARY]
    begun = time.perf_counter()
    cleaned = Redactor().fields({"deep": deep, "loop": loop, "wide": list(range(100_000))})
    assert time.perf_counter() - begun < 1
    assert CUT in json.dumps(cleaned)
    assert not has(cleaned["deep"])
    assert len(json.dumps(cleaned)) < 1_000_000


@pytest.mark.parametrize(
    "text",
    ["a" * 60_000, "password" * 8_000, "a-" * 30_000, "://" * 20_000, "password=" * 7_000, "'" * 60_000, "pnl" * 20_000,
     "1" * 60_000,
     "eyJ" * 20_000, "Bearer " * 9_000, "-----BEGIN PRIVATE KEY-----" * 2_000, 'token="' + "\\" * 50_000,
     "token" + " " * 60_000],
)  # fmt: skip
def test_no_text_is_slow(text: str) -> None:
    begun = time.perf_counter()
    Redactor().text(text)
    assert time.perf_counter() - begun < 0.5


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        Redactor(RedactionRules(patterns=("[",)))


# --- the property: through the whole chain, into file and store ---

clean_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
secret_texts = st.builds(
    lambda text, before, after: f"{before} {text.format(CANARY)} {after}",
    st.sampled_from(TEXTS), st.text("abc :=", max_size=8), st.text("abc :=", max_size=8),
)  # fmt: skip
secret_leaf = (
    st.builds(
        lambda name, value: {name: value},
        st.sampled_from(SECRET_NAMES),
        st.sampled_from([CANARY, [CANARY], {"k": CANARY}, (CANARY, 1)]),
    )
    | secret_texts
    | secret_texts.map(str.encode)
    | secret_texts.map(ValueError)
    | secret_texts.map(lambda text: {text: 1})
)  # fmt: skip
nested = st.recursive(
    secret_leaf,
    lambda inner: (
        st.tuples(clean_values, inner).map(list)
        | st.tuples(inner, clean_values)
        | st.builds(lambda name, value, other: {name: value, "other": other}, st.text(max_size=8), inner, clean_values)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoggingSetup, LogSink, Path]]:
    file = tmp_path_factory.mktemp("canary") / "backend.log"
    with LogSink() as sink:
        setup = LoggingSetup(LoggingSettings(file=file, console=False, victorialogs_url=sink.url))
        yield setup, sink, file
        setup.close()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(value=nested, text=secret_texts, as_argument=st.booleans(), raised=st.booleans())
def test_a_canary_reaches_no_output(
    outputs: tuple[LoggingSetup, LogSink, Path], value: object, text: str, as_argument: bool, raised: bool
) -> None:
    setup, _, file = outputs
    size = file.stat().st_size if file.exists() else 0
    logger = logging.Logger("strategy.canary", logging.DEBUG)  # noqa: LOG001 - one that belongs to no hierarchy
    logger.addHandler(setup)
    message, arguments = ("got %s and %s", (text, value)) if as_argument and not isinstance(value, bytes) else (text, ())
    try:
        raise RuntimeError(text)
    except RuntimeError:
        logger.warning(message, *arguments, exc_info=raised, extra={"value": value, "plain": 1})
    with file.open() as stream:
        stream.seek(size)
        (line, _) = stream.read().split("\n")
    assert not has(line)
    assert json.loads(line)["plain"] == 1


def test_and_none_of_them_reached_the_store(outputs: tuple[LoggingSetup, LogSink, Path]) -> None:
    setup, sink, _ = outputs
    assert setup.victorialogs is not None
    assert setup.victorialogs.drain(10)
    assert setup.stats().failed == 0
    assert len(sink.records) == setup.stats().logged > 100
    assert not has(sink.records)
