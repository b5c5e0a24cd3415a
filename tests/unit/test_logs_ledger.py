"""The ledger: accepted = delivered + dropped + queued + in flight, after any sequence of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crowsnest.logs import DropReason
from crowsnest.logs._buffer import ENTRY_OVERHEAD_BYTES, RecordBuffer
from crowsnest.logs._contract import MAX_LINE_BYTES

MAX_RECORDS = 8
MAX_BYTES = 4_000


def new_buffer(**limits: int) -> RecordBuffer:
    return RecordBuffer(
        **{"boot": "b007", "max_records": MAX_RECORDS, "max_bytes": MAX_BYTES, "wake_records": 4, "wake_bytes": 2_000, **limits}  # type: ignore[arg-type]
    )


class Ledger(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.buffer = new_buffer()
        self.put_count = 0
        self.flying = 0
        self.abandoned = False

    @rule(size=st.integers(2, 5_000))
    def put(self, size: int) -> None:
        self.buffer.put(b"x" * size)
        self.put_count += 1

    @rule(reason=st.sampled_from([DropReason.ENCODE, DropReason.RECURSION, DropReason.FILTER_ERROR]))
    def put_dropped(self, reason: DropReason) -> None:
        self.buffer.put(reason)
        self.put_count += 1

    @rule(count=st.integers(1, 5))
    def take(self, count: int) -> None:
        if not self.flying:
            batch = self.buffer.take(max_records=count, max_bytes=1_000)
            self.flying = len(batch)
            sequence = [seq for seq, _, _ in batch]
            assert sequence == sorted(set(sequence))

    @rule(part=st.integers(0, 5), reason=st.sampled_from([None, DropReason.REJECTED]))
    def settle(self, part: int, reason: DropReason | None) -> None:
        count = min(part, self.flying)
        self.buffer.settle(count, reason)
        self.flying -= count

    @rule()
    def settle_rest(self) -> None:
        self.buffer.settle(None, DropReason.SENDER_ERROR)
        self.flying = 0

    @rule()
    def seal(self) -> None:
        self.buffer.seal()

    @rule()
    def abandon(self) -> None:
        self.buffer.abandon()
        self.abandoned = True

    @invariant()
    def accounts(self) -> None:
        stats = self.buffer.stats(requests=0, failed_requests=0, last_error=None)
        assert stats.residual == 0
        assert stats.accepted == self.put_count
        assert stats.queued <= MAX_RECORDS
        assert 0 <= stats.queued_bytes <= MAX_BYTES
        assert (stats.queued_bytes == 0) == (stats.queued == 0)
        assert stats.in_flight == (0 if self.abandoned else self.flying)


TestLedger = Ledger.TestCase


@given(sizes=st.lists(st.integers(2, 300), max_size=60))
def test_the_newest_records_survive(sizes: list[int]) -> None:
    buffer = new_buffer()
    for size in sizes:
        buffer.put(b"x" * size)
    kept = [seq for seq, _, _ in buffer.take(max_records=1000, max_bytes=1_000_000)]
    assert kept == list(range(len(sizes) - len(kept) + 1, len(sizes) + 1))


def test_the_sender_is_woken_once_a_batch() -> None:
    buffer = new_buffer()
    assert [buffer.put(b"xx") for _ in range(6)] == [False, False, False, True, False, False]
    buffer.take(max_records=100, max_bytes=100_000)
    assert [buffer.put(b"xx") for _ in range(4)] == [False, False, False, True]


def test_one_record_is_taken_however_large() -> None:
    buffer = new_buffer(max_bytes=MAX_LINE_BYTES)
    buffer.put(b"x" * 100_000)
    buffer.put(b"x" * 10)
    assert [seq for seq, _, _ in buffer.take(max_records=100, max_bytes=1_000)] == [1]


def test_a_record_larger_than_the_queue_is_too_large() -> None:
    buffer = new_buffer()
    buffer.put(b"x" * (MAX_BYTES - ENTRY_OVERHEAD_BYTES))
    buffer.put(b"x" * (MAX_BYTES - ENTRY_OVERHEAD_BYTES + 1))
    stats = buffer.stats(requests=0, failed_requests=0, last_error=None)
    assert (stats.queued, stats.dropped["too_large"]) == (1, 1)
