"""What the relay says of itself and of QuestDB's tables."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Programs name events, and one that makes up names must not make up series.
_MOST_EVENTS = 100
_OTHERS = "others"


class Metrics:
    """The relay's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events: set[str] = set()
        self._full: dict[str, bool] = {}
        self.rows = Counter("ticks_rows", "Rows that QuestDB has acknowledged", ["event"], registry=self.registry)
        self.dead_letters = Counter(
            "ticks_dead_letters", "Rows that QuestDB refused and that are kept aside", ["event"], registry=self.registry
        )
        self.dead_letters.labels(_OTHERS)
        self.put_off = Counter("ticks_batches_put_off", "Batches that Telegraf was asked to send again", registry=self.registry)
        self.store_up = Gauge("ticks_store_up", "Whether QuestDB answered last time", registry=self.registry)
        self.store_full = Gauge(
            "ticks_store_full", "Whether QuestDB said last time that it has no room", registry=self.registry
        )
        self.suspended = Gauge("ticks_tables_suspended", "Tables to which QuestDB applies nothing", registry=self.registry)
        self.resumed = Counter("ticks_tables_resumed", "Times that a suspended table was resumed", registry=self.registry)
        self.behind = Gauge(
            "ticks_transactions_behind", "Acknowledged transactions that no query sees yet", registry=self.registry
        )
        self.disk_bytes = Gauge("ticks_disk_bytes", "Of all tables together", registry=self.registry)
        self.dropped = Counter(
            "ticks_partitions_dropped", "Days that were dropped because the tables were too large", registry=self.registry
        )
        self.missing = Gauge(
            "ticks_records_missing", "Numbers that are missing in the runs of the last hour", registry=self.registry
        )
        self.write_seconds = Histogram(
            "ticks_write_seconds", "Seconds until QuestDB had a batch on its disk", registry=self.registry
        )

    def note_full(self, where: str, *, full: bool) -> None:
        """Whether there is no room to write a batch, or to apply what was written: each is known by itself."""
        self._full[where] = full
        self.store_full.set(any(self._full.values()))

    def label(self, event: str) -> str:
        """The event as a label, or that of all others when there are too many."""
        if event not in self._events and len(self._events) >= _MOST_EVENTS:
            return _OTHERS
        self._events.add(event)
        return event
