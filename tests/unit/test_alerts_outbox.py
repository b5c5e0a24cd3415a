"""A channel's queue with a clock of its own: what is sent when, what is left out, and that all of it is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowsnest.alerts import AlertSeverity, ChannelStats, DropReason, Notification, Outcome, RateLimit, Verdict
from crowsnest.alerts._alert import make_alert
from crowsnest.alerts._outbox import Outbox, Policy

CRITICAL, WARNING, INFO = AlertSeverity.CRITICAL, AlertSeverity.WARNING, AlertSeverity.INFO
DELIVERED = Outcome(Verdict.DELIVERED)
RETRY = Outcome(Verdict.RETRY, "HTTP 503")
REJECTED = Outcome(Verdict.REJECTED, "HTTP 400")
PLENTY = RateLimit(per_second=1000, burst=1000)


@dataclass
class Bench:
    """An outbox, a clock, and the part of the worker."""

    policy: Policy = field(default_factory=Policy)
    rate_limit: RateLimit = PLENTY
    now: float = 1000.0
    answer: Callable[[Notification], Outcome] = lambda notification: DELIVERED

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.rate_limit, self.policy)
        self.sent: list[tuple[float, Notification]] = []

    def put(self, severity: AlertSeverity, title: str, message: str = "", fingerprint: str | None = None) -> bool:
        return self.outbox.put(make_alert(severity, title, message, None, fingerprint, self.now))

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass, delivering whatever becomes due."""
        end = self.now + seconds
        while (due := self.outbox.next_due(self.now)) is not None and due[0] <= end:
            self.now = max(self.now, due[0])
            job = self.outbox.take(self.now)
            if job is None:
                break
            outcome = self.answer(job.notification)
            if outcome.verdict is Verdict.DELIVERED:
                self.sent.append((self.now, job.notification))
            self.outbox.settle(job, outcome, self.now)
            self.check()
        self.now = end

    def check(self) -> ChannelStats:
        stats = self.outbox.stats()
        assert stats.residual == 0
        return stats

    @property
    def titles(self) -> list[str]:
        return [notification.title for _, notification in self.sent]


def test_the_first_goes_at_once_and_what_follows_becomes_one_digest() -> None:
    bench = Bench()
    bench.put(WARNING, "first")
    bench.run()
    bench.put(INFO, "second", "job done")
    bench.put(WARNING, "third", "slippage")
    bench.run(29.9)
    assert bench.titles == ["first"]
    bench.run(0.2)
    at, digest = bench.sent[1]
    assert at == pytest.approx(1030.0)
    assert digest.severity is WARNING
    assert digest.title == "2 alerts in 30 s"
    assert digest.message == "• WARNING: third: slippage\n• INFO: second: job done"
    stats = bench.check()
    assert (stats.delivered, stats.grouped, stats.attempts) == (2, 1, 2)


def test_critical_is_never_grouped_and_goes_first() -> None:
    bench = Bench()
    bench.put(WARNING, "w1")
    bench.run()
    bench.put(WARNING, "w2")
    bench.put(CRITICAL, "c1")
    bench.put(CRITICAL, "c2")
    bench.run()
    assert bench.titles == ["w1", "c1", "c2"]
    bench.run(30)
    assert bench.titles[3:] == ["w2"]


def test_a_repeat_within_the_window_is_left_out_and_told_later() -> None:
    bench = Bench(Policy(group_window_seconds=0))
    assert bench.put(CRITICAL, "kill switch")
    bench.run()
    for _ in range(57):
        bench.now += 5
        assert bench.put(CRITICAL, "kill switch")
        bench.run()
    assert bench.titles == ["kill switch"]
    bench.now += 15.1  # 300.1 s since the first
    bench.put(CRITICAL, "kill switch", "")
    bench.run()
    assert bench.titles == ["kill switch"] * 2
    assert bench.sent[1][1].message == "(and 57 more like it)"
    assert bench.check().deduplicated == 57


def test_the_bound_of_the_dedupe_window() -> None:
    for seconds, messages in ((299.9, 1), (300.0, 2)):
        bench = Bench()
        bench.put(CRITICAL, "x")
        bench.run(seconds)
        bench.put(CRITICAL, "x")
        bench.run()
        assert len(bench.sent) == messages


def test_a_repeat_of_what_was_lost_is_not_left_out() -> None:
    bench = Bench(answer=lambda notification: REJECTED)
    bench.put(CRITICAL, "x")
    bench.run()
    bench.answer = lambda notification: DELIVERED
    bench.put(CRITICAL, "x")
    bench.run()
    assert bench.titles == ["x"]
    assert bench.check().dropped["rejected"] == 1


def test_repeats_of_what_waits_are_told_with_it() -> None:
    bench = Bench()
    bench.put(WARNING, "first")
    bench.run()
    for _ in range(3):
        bench.put(WARNING, "slow feed")
    bench.put(INFO, "other")
    bench.run(30)
    assert "• WARNING: slow feed (×3)" in bench.sent[1][1].message  # noqa: RUF001
    assert bench.sent[1][1].title == "4 alerts in 30 s"


@pytest.mark.parametrize(("severity", "limit"), [(INFO, 900.0), (WARNING, 900.0), (CRITICAL, 3600.0)])
def test_what_is_too_old_is_dropped_and_counted(severity: AlertSeverity, limit: float) -> None:
    for wait, arrives in ((limit, True), (limit + 1, False)):
        bench = Bench(Policy(max_attempts=10_000), answer=lambda notification: RETRY)
        bench.put(severity, "x")
        bench.run(1.0)
        bench.answer = lambda notification: Outcome(Verdict.RETRY, "429", 10_000.0)
        bench.run(70)
        bench.answer = lambda notification: DELIVERED
        bench.now = 1000.0 + wait
        bench.outbox._held_until = 0.0
        bench.run()
        assert bool(bench.sent) is arrives
        assert bench.check().dropped["expired"] == (not arrives)
        if arrives:
            assert f"({limit / 60:.0f} min late)" in bench.sent[0][1].message


def test_retry_after_is_honoured_by_all_severities_and_costs_no_attempt() -> None:
    bench = Bench(Policy(max_attempts=1), answer=lambda notification: Outcome(Verdict.RETRY, "429", 40.0))
    bench.put(WARNING, "w")
    bench.run()
    bench.answer = lambda notification: DELIVERED
    bench.put(CRITICAL, "c")
    bench.run(39.9)
    assert bench.sent == []
    bench.run(0.2)
    assert bench.titles == ["c", "w"]


def test_failures_back_off_with_jitter_and_end_for_lower_severities_only() -> None:
    attempts: list[float] = []

    def answer(notification: Notification) -> Outcome:
        attempts.append(bench.now)
        return RETRY

    bench = Bench(Policy(max_attempts=5), answer=answer)
    bench.put(WARNING, "w")
    bench.run(900)
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert len(attempts) == 5
    assert all(0.05 * 2**n <= gap <= 0.5 * 2**n for n, gap in enumerate(gaps))
    assert bench.check().dropped["exhausted"] == 1
    attempts.clear()
    bench.put(CRITICAL, "c")
    bench.run(3599)
    assert len(attempts) > 50
    assert bench.check().queued == 1
    bench.answer = lambda notification: DELIVERED
    bench.run(1 + 60)
    assert bench.check().queued == 0


def test_a_new_critical_does_not_wait_for_the_end_of_a_back_off() -> None:
    bench = Bench(answer=lambda notification: RETRY)
    bench.put(CRITICAL, "old")
    bench.run(600)
    bench.answer = lambda notification: DELIVERED
    bench.put(CRITICAL, "new")
    bench.run(1.0)
    assert bench.titles == ["old", "new"]


def test_the_token_bucket_delays_and_critical_may_overdraw_it() -> None:
    bench = Bench(Policy(group_window_seconds=0), RateLimit(per_second=0.5, burst=2))
    for number in range(5):
        bench.put(WARNING, f"w{number}")
        bench.run()
    assert len(bench.sent) == 2
    for number in range(4):
        bench.put(CRITICAL, f"c{number}")
    bench.run()
    assert bench.titles[2:] == ["c0", "c1"]
    bench.run(60)
    assert bench.titles[4:6] == ["c2", "c3"]
    assert bench.check().dropped_total == 0
    moments = [at for at, _ in bench.sent]
    for start in range(len(moments)):  # never more than twice the burst and the rate allow
        for end in range(start, len(moments)):
            assert end - start + 1 <= 2 * 2 + (moments[end] - moments[start]) * 0.5 + 1e-6


def test_critical_takes_the_place_of_the_oldest_of_the_least_urgent() -> None:
    bench = Bench(Policy(max_queued=4))
    for severity, title in ((WARNING, "w1"), (INFO, "i1"), (INFO, "i2"), (WARNING, "w2")):
        bench.put(severity, title)
    for number in range(4):
        assert bench.put(CRITICAL, f"c{number}")
    assert not bench.put(WARNING, "w3")
    assert not bench.put(CRITICAL, "c4")  # the first say the cause
    bench.run(100)
    assert bench.titles == ["c0", "c1", "c2", "c3"]
    assert bench.check().dropped["overflow"] == 6


def test_a_lower_one_never_evicts_a_more_urgent_one() -> None:
    bench = Bench(Policy(max_queued=2))
    bench.put(WARNING, "w1")
    bench.put(WARNING, "w2")
    assert not bench.put(INFO, "i1")
    assert bench.put(WARNING, "w3")
    bench.run()
    assert bench.sent[0][1].message == "• WARNING: w2\n• WARNING: w3\n2 more were dropped; the log has them"


def test_a_storm_becomes_a_handful_of_messages_and_keeps_every_critical() -> None:
    bench = Bench(rate_limit=RateLimit(per_second=1, burst=3))
    for number in range(10_000):
        bench.now += 0.006  # a minute
        severity = CRITICAL if number % 1000 == 500 else (WARNING, INFO)[number % 2]
        bench.put(severity, f"alert {number}", "x" * 50)
        bench.run()
    bench.run(60)
    stats = bench.check()
    assert stats.accepted == 10_000
    assert len(bench.sent) <= 20
    assert [title for title in bench.titles if title.startswith("alert ") and title.endswith("500")] == [
        f"alert {number}" for number in range(500, 10_000, 1000)
    ]
    assert stats.queued == 0


def test_sealed_it_sends_what_is_left_without_waiting_and_refuses_the_rest() -> None:
    bench = Bench(rate_limit=RateLimit(per_second=0.01, burst=1))
    bench.put(WARNING, "w1")
    bench.run()
    for number in range(3):
        bench.put(WARNING, f"later {number}")
        bench.put(CRITICAL, f"c{number}")
    bench.outbox.seal()
    assert not bench.put(CRITICAL, "too late")
    bench.run()
    assert bench.titles == ["w1", "c0", "c1", "c2", "3 alerts in 1 s"]
    assert bench.outbox.abandon() == 0
    assert bench.check().dropped["shutdown"] == 1


def test_what_is_in_flight_when_abandoned_is_counted_once() -> None:
    bench = Bench()
    bench.put(CRITICAL, "c")
    job = bench.outbox.take(bench.now)
    assert job is not None
    assert bench.check().in_flight == 1
    assert bench.outbox.abandon() == 1
    bench.outbox.settle(job, DELIVERED, bench.now)
    stats = bench.check()
    assert (stats.delivered, stats.dropped["shutdown"]) == (0, 1)


def test_an_alert_sent_in_the_middle_of_a_change_is_parked() -> None:
    """As by a signal handler on the same thread."""
    bench = Bench()
    with bench.outbox._changing():
        assert bench.put(CRITICAL, "from the handler")
        assert bench.outbox.stats().residual == 0
        assert bench.outbox.stats().queued == 1
    bench.run()
    assert bench.titles == ["from the handler"]


OUTCOMES = st.sampled_from([DELIVERED, DELIVERED, RETRY, REJECTED, Outcome(Verdict.RETRY, "429", 7.0)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(list(AlertSeverity)), st.integers(0, 6)),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 0.5, 20.0, 400.0, 2000.0])),
        st.tuples(st.just("take")),
        st.tuples(st.just("settle"), OUTCOMES),
        st.tuples(st.just("refuse"), st.sampled_from(list(DropReason))),
        st.tuples(st.just("fail")),
        st.tuples(st.just("seal")),
        st.tuples(st.just("abandon")),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(STEPS)
def test_the_ledger_balances_after_every_step(steps: list[tuple[object, ...]]) -> None:
    bench = Bench(Policy(max_queued=3, max_attempts=2))
    job = None
    accepted = 0
    for step in steps:
        match step:
            case ("put", severity, number):
                bench.put(severity, f"alert {number}")  # type: ignore[arg-type]
                accepted += 1
            case ("pass", seconds):
                bench.now += seconds  # type: ignore[operator]
                bench.outbox.next_due(bench.now)
            case ("take",) if job is None:
                job = bench.outbox.take(bench.now)
            case ("settle", outcome) if job is not None:
                bench.outbox.settle(job, outcome, bench.now)  # type: ignore[arg-type]
                job = None
            case ("refuse", reason):
                bench.outbox.refuse(reason)  # type: ignore[arg-type]
                accepted += 1
            case ("fail",):
                bench.outbox.fail_in_flight()
                job = None
            case ("seal",):
                bench.outbox.seal()
            case ("abandon",):
                bench.outbox.abandon()
        stats = bench.check()
        assert stats.accepted == accepted
        assert stats.queued <= 3 + 1
        assert min(stats.delivered, stats.grouped, stats.queued, stats.in_flight, *stats.dropped.values()) >= 0
