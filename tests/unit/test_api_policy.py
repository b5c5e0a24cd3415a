"""The policy: whatever is asked, what the store is asked stays within bounds, and the answer says what was cut."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowsnest.api.logs import moments
from crowsnest.api.logs.moments import SECOND_NS
from crowsnest.api.logs.policy import Asked, Limits, LogQueryPolicy, Refused

POLICY, LIMITS = LogQueryPolicy(), Limits()
NOW_NS = 1_795_000_000_123_456_789
TIMES = st.none() | st.sampled_from(
    ["now", "5m", "24h", "30d", "999999d", "2026-11-21T10:00:00Z", "1999-01-01T00:00:00+23:59", "x", ""]
)
NAMES = st.text(max_size=12)
USES = st.sampled_from(["query", "tail", "hits", "facets", "streams", "context", "export", "loss"])


def decide(use="query", strategies=None, **asked):
    return POLICY.decide(Asked(**asked), use, strategies, NOW_NS)


def argument(decision, name):
    return [value for key, value in decision.form if key == name]


@given(
    use=USES, start=TIMES, end=TIMES, before=TIMES, limit=st.none() | st.integers(), strategy_id=st.none() | NAMES,
    strategies=st.none() | st.lists(NAMES, max_size=4), level=st.lists(NAMES, max_size=3),
)  # fmt: skip
def test_no_question_leaves_its_bounds(use, start, end, before, limit, strategy_id, strategies, level):
    try:
        decision = decide(
            use, strategies, start=start, end=end, before=before, limit=limit, strategy_id=strategy_id, exact={"level": level}
        )
    except Refused:
        return
    assert 0 <= decision.start_ns < decision.end_ns
    # A second more than the day: the default end is a second ahead, for clocks that are.
    assert decision.end_ns - decision.start_ns <= (LIMITS.range_seconds + 1) * SECOND_NS
    assert 1 <= decision.limit <= (LIMITS.export_rows if use == "export" else LIMITS.rows)
    assert decision.timeout_seconds <= (20 if use == "export" else 10)
    scopes = [json.loads(value) for value in argument(decision, "extra_stream_filters")]
    if strategies is not None or strategy_id is not None:
        (scope,) = scopes
        assert scope.keys() == {"strategy_id"}
        assert scope["strategy_id"]
        assert all(scope["strategy_id"]), "an empty name matches streams without a strategy"
        assert strategies is None or set(scope["strategy_id"]) <= set(strategies)
        assert strategy_id is None or scope["strategy_id"] == [strategy_id]
    # What the store takes for LogsQL instead of JSON begins otherwise.
    assert all(value.startswith('{"') for value in argument(decision, "extra_stream_filters"))
    times, *others = argument(decision, "extra_filters")
    assert times == f"_time:[{moments.text(decision.start_ns)}, {moments.text(decision.end_ns)})"
    assert all(json.loads(value) == {"level": level} for value in others)
    assert argument(decision, "query") == ["*"]
    assert len(argument(decision, "start")) == len(argument(decision, "end")) == 1


@given(st.text(max_size=40))
def test_no_value_gets_into_the_text_of_the_query(value):
    try:
        decision = decide(strategy_id=value, exact={"level": [value], "source": [value], "container_name": [value]})
    except Refused:
        return
    assert argument(decision, "query") == ["*"]
    assert json.loads(argument(decision, "extra_stream_filters")[0]) == {"strategy_id": [value]}


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_a_part_of_the_range_is_never_more_than_the_range(start_ns, end_ns):
    decision = decide()
    form = dict(reversed(decision.form_between(start_ns, end_ns)))
    assert form["start"] >= moments.text(decision.start_ns)
    assert form["end"] < moments.text(decision.end_ns)


def test_the_default_is_the_last_hour_and_a_hundred_rows():
    decision = decide()
    assert decision.end_ns - decision.start_ns == 3600 * SECOND_NS
    assert decision.end_ns == NOW_NS + SECOND_NS
    assert decision.limit == 100
    assert decision.clamped == ()


def test_what_is_cut_is_said():
    decision = decide(start="30d", limit=10_000)
    assert [(clamp.what, clamp.asked, clamp.given) for clamp in decision.clamped] == [
        ("range", 30 * 86_400 + 1, 86_400),
        ("limit", 10_000, 500),
    ]
    assert decision.end_ns == NOW_NS + SECOND_NS, "the newest part is what is kept"


def test_a_file_is_never_cut_silently():
    with pytest.raises(Refused, match="720 hours are asked for, 24 are possible") as refused:
        decide("export", start="30d")
    assert refused.value.kind == "range-too-wide"


@pytest.mark.parametrize(
    ("strategies", "strategy_id", "scope"),
    [
        (None, None, None),
        (None, "a", ("a",)),
        (["a", "b"], None, ("a", "b")),
        (["a", "b"], "b", ("b",)),
        (["a", ""], None, ("a",)),
        (["a"], "b", "forbidden"),
        ([], None, "forbidden"),
        ([""], None, "forbidden"),
        ([], "a", "forbidden"),
    ],
)
def test_who_sees_which_strategy(strategies, strategy_id, scope):
    if scope == "forbidden":
        with pytest.raises(Refused) as refused:
            decide(strategies=strategies, strategy_id=strategy_id)
        assert refused.value.kind == "forbidden"
    else:
        assert decide(strategies=strategies, strategy_id=strategy_id).scope == scope


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "yesterday"},
        {"start": "2026-11-21T10:00:00"},
        {"start": "2026-02-30T10:00:00Z"},
        {"start": "9999-01-01T00:00:00Z"},
        {"start": "5m", "end": "10m"},
        {"limit": 0},
        {"limit": -1},
        {"exact": {"_msg": ["x"]}},
        {"exact": {"level": [""]}},
        {"exact": {"level": ["x\n"]}},
        {"exact": {"level": ["x"] * 51}},
        {"strategy_id": ""},
        {"strategy_id": "x" * 257},
        {"q": "* | union (*)"},
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(asked):
    with pytest.raises(Refused) as refused:
        decide(**asked)
    assert refused.value.kind == "invalid-query"
    assert refused.value.hint


@pytest.mark.parametrize("use", ["tail", "hits", "facets", "streams"])
def test_results_cannot_be_counted_or_followed(use):
    with pytest.raises(Refused, match="the pipe 'stats' cannot be used here"):
        decide(use, q="* | fields level | stats count() n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T10:00:00Z", 1_795_255_200_000_000_000),
        ("2026-11-21T10:00:00.123456789Z", 1_795_255_200_123_456_789),
        ("2026-11-21T10:00:00.5z", 1_795_255_200_500_000_000),
        ("2026-11-21T12:00:00+02:00", 1_795_255_200_000_000_000),
        ("2026-11-21T12:00:00 02:00", 1_795_255_200_000_000_000),
        ("now", NOW_NS),
        ("15m", NOW_NS - 900 * SECOND_NS),
        ("1d", NOW_NS - 86_400 * SECOND_NS),
    ],
)
def test_moments_are_read_to_the_nanosecond(text, expected):
    assert moments.parse(text, NOW_NS) == expected


@given(st.integers(0, 7_000_000_000 * SECOND_NS))
def test_moments_are_written_as_they_are_read(moment_ns):
    text = moments.text(moment_ns)
    assert moments.parse(text, 0) == moment_ns
    assert len(text) == 30


def test_a_decision_costs_next_to_nothing():
    begun = time.perf_counter()
    for index in range(1000):
        decide(strategies=["a"], q=f"order filled {index} | fields _time, _msg").form  # noqa: B018
    assert (time.perf_counter() - begun) / 1000 < 0.002
