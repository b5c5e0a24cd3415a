"""The relay before QuestDB: lines as they are, tables first, and what is refused set aside without its neighbours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowsnest.ticks import lines, schema
from crowsnest.ticks.lines import Refused, dead_letter, event_of, split, unusable
from crowsnest.ticks.metrics import Metrics
from crowsnest.ticks.questdb import Refusal, SqlError, StoreError
from crowsnest.ticks.relay import Relay
from crowsnest.ticks.settings import RelaySettings, SettingsError, Ttl
from crowsnest.ticks.upkeep import Upkeep

TTL = Ttl(30, "DAY")


def written(event: str, text: str, number: int) -> bytes:
    """A line as Telegraf writes it."""
    name = re.sub(r"([,= ])", r"\\\1", event)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name} text="{quoted}",seq={number}i 17637000000000{number:05}'.encode()


TEXTS = st.text(alphabet=st.sampled_from('ab"\\\n ,=1é💥'), max_size=12)


@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_a_batch_is_split_into_the_lines_it_was_made_of(texts):
    whole = [written("event", text, number) for number, text in enumerate(texts)]

    found = split(b"\n".join(whole) + b"\n")

    # An end of line inside of a string has a backslash before it now, and nothing else is changed.
    assert found == [line.replace(b"\n", b"\\\n") for line in whole]


@pytest.mark.parametrize("body", [b"", b"\n", b"\n\n"])
def test_an_empty_batch_has_no_lines(body):
    assert split(body) == []


@given(st.binary(max_size=60))
def test_no_bytes_make_splitting_fail_or_grow(body):
    found = split(body)

    assert sum(map(len, found)) <= 3 * len(body) + 40 * len(found)


def test_a_broken_line_does_not_take_others_with_it():
    bad = b'event text="never closed,seq=1i 1763700000000000001'
    good = [written("event", "fine", number) for number in (2, 3)]

    found = split(b"\n".join([good[0], b'we"ird x=1,seq=5i 1763700000000000009', good[1]]) + b"\n")
    assert [line for line in found if line in good] == good
    assert split(bad)[0].startswith(b"event")


def test_a_line_without_a_number_gets_its_own_sum():
    line = b'event text="x" 1763700000000000001'

    (once,), (again,) = split(line), split(line)
    (other,) = split(b'event text="y" 1763700000000000001')

    assert once == again
    assert re.fullmatch(rb'event text="x",seq=\d+i 1763700000000000001', once)
    assert once[14:] != other[14:]


def test_the_number_of_a_line_does_not_depend_on_the_order_of_its_fields():
    one, other = split(b'event text="a, b",x=1 1763700000000000001\nevent x=1,text="a, b" 1763700000000000001')
    assert one.rpartition(b"seq=")[2] == other.rpartition(b"seq=")[2]
    (third,) = split(b'event x=2,text="a, b" 1763700000000000001')
    assert third.rpartition(b"seq=")[2] != one.rpartition(b"seq=")[2]


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"price_log x=1 1", "price_log"),
        (b"price_log,tag=a x=1 1", "price_log"),
        (b"two\\ words x=1 1", "two words"),
        (b"a\\,b\\=c x=1 1", "a,b=c"),
        ("žluť x=1 1".encode(), "žluť"),
    ],
)
def test_the_event_is_read_from_the_line(line, event):
    assert event_of(line) == event


@pytest.mark.parametrize("event", ["price_log", "_x", "a-b", "A" * 120])
def test_usable_names(event):
    assert unusable(event) is None


@pytest.mark.parametrize("event", ["", "1a", "a b", "a/b", "a.b", 'a"b', "a;drop", "žluť", "A" * 121])
def test_names_that_make_no_table(event):
    assert unusable(event)


def test_a_dead_letter_keeps_the_line_and_is_the_same_each_time():
    line = b'price_log price="x\\"y",run_id="r1",seq=7i 1763700000000000001'

    letter = dead_letter(Refused(line, 'no "price"'), "price_log", 5)

    assert letter == dead_letter(Refused(line, 'no "price"'), "price_log", 6)
    assert letter.startswith(b'dead_letters event="price_log",run_id="r1",seq=7i,reason="no \\"price\\""')
    assert letter.endswith(b" 1763700000000000001")
    assert split(letter) == [letter]


def test_a_long_line_is_cut_and_marked():
    letter = dead_letter(Refused(b'e x="' + b"y" * 100_000 + b'" 1', "too long"), "e", 5)

    assert len(letter) < lines.MOST_KEPT + 1000
    assert b",cut=t " in letter


class Store:
    """A QuestDB that takes rows by these rules: a batch is stored whole or not at all, a field keeps its first type."""

    def __init__(self, *, tells_numbers: bool = True) -> None:
        self.rows: list[bytes] = []
        self.types: dict[tuple[str, str], str] = {}
        self.tables: list[str] = []
        self.calls = 0
        self.away = False
        self.tells_numbers = tells_numbers

    async def write(self, batch: Sequence[bytes]) -> Refusal | None:
        self.calls += 1
        if self.away:
            raise StoreError("away")
        types = dict(self.types)
        for number, line in enumerate(batch, 1):
            event = event_of(line)
            assert event.lower() in [*self.tables, "dead_letters"], "its table was not made first"
            for field, value in re.findall(rb'[ ,](\w+)=("(?:[^"\\]|\\.)*"|[^, ]+)', line):
                kind = "text" if value.startswith(b'"') else "number"
                if types.setdefault((event, field.decode()), kind) != kind:
                    return Refusal(f"{field.decode()}: cast error", number if self.tells_numbers else None)
        self.types = types
        self.rows += batch
        return None

    async def sql(self, statement: str) -> list[dict[str, object]]:
        if self.away:
            raise StoreError("away")
        name = re.search(r'CREATE TABLE IF NOT EXISTS "([^"]+)"', statement)
        if name and name[1] == "refused":
            raise SqlError("no such table may be")
        if name:
            self.tables.append(name[1].lower())
        return []


def relay(store: Store) -> tuple[Relay, Metrics]:
    metrics = Metrics()
    return Relay(store, TTL, metrics), metrics  # type: ignore[arg-type]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def prices(*values: str) -> list[bytes]:
    return [
        f"price_log price={one},seq={number}i {1763700000000000000 + number}".encode() for number, one in enumerate(values, 1)
    ]


def test_rows_go_through_and_are_counted():
    store = Store()
    made, metrics = relay(store)
    asyncio.run(made.write(b"\n".join(prices("1", "2", "3"))))

    assert store.rows == prices("1", "2", "3")
    assert store.calls == 1
    assert value(metrics, "ticks_rows_total", event="price_log") == 3


@pytest.mark.parametrize("tells_numbers", [True, False])
@given(bad=st.sets(st.integers(min_value=1, max_value=40), max_size=12))
def test_only_what_is_refused_by_itself_is_set_aside(tells_numbers, bad):
    """Whatever lines are bad: every line is a row or a dead letter, good ones in their order."""
    store = Store(tells_numbers=tells_numbers)
    made, metrics = relay(store)
    batch = prices("0.5", *(f'"{number}"' if number in bad else str(number) for number in range(1, 41)))

    asyncio.run(made.write(b"\n".join(batch)))

    letters = [row for row in store.rows if row.startswith(b"dead_letters ")]
    rows = [row for row in store.rows if not row.startswith(b"dead_letters ")]
    assert rows == [line for line in batch if b'price="' not in line]
    assert len(letters) == len(bad)
    assert value(metrics, "ticks_dead_letters_total", event="price_log") == len(bad)
    assert value(metrics, "ticks_rows_total", event="price_log") == 41 - len(bad)


def test_a_batch_of_nothing_but_bad_lines_costs_a_bounded_number_of_calls():
    store = Store()
    made, _ = relay(store)
    store.types["price_log", "price"] = "number"
    batch = prices(*(f'"{number}"' for number in range(1000)))

    asyncio.run(made.write(b"\n".join(batch)))

    assert len(store.rows) == 1000
    assert store.calls < 3 * 1000


@pytest.mark.parametrize("event", ["dead_letters", "Dead_Letters", "refused", "no\\ table", "1st"])
def test_an_event_that_cannot_have_a_table_is_set_aside(event):
    store = Store()
    made, _ = relay(store)
    asyncio.run(made.write(f"{event} x=1,seq=1i 1763700000000000001\nprice_log x=1,seq=2i 1763700000000000002".encode()))

    assert [event_of(row) for row in store.rows] == ["price_log", "dead_letters"]


def test_when_the_store_is_away_nothing_is_counted_and_telegraf_is_told():
    store = Store()
    made, metrics = relay(store)
    store.away = True
    with pytest.raises(StoreError):
        asyncio.run(made.write(b"\n".join(prices("1"))))

    assert value(metrics, "ticks_rows_total", event="price_log") == 0


def test_events_beyond_a_hundred_share_a_label():
    metrics = Metrics()
    labels = {metrics.label(f"event_{number}") for number in range(150)}

    assert len(labels) == 101
    assert "others" in labels


@pytest.mark.parametrize(
    ("message", "full"),
    [
        ("could not append [errno=28]", True),
        ("No space left on device", True),
        ("cast error from protocol type: STRING to column type: DOUBLE", False),
        ("table is suspended [errno=2]", False),
    ],
)
def test_a_full_disk_is_told_from_other_failures(message, full):
    assert StoreError(message).full is full


def test_sql_files_are_whole_statements_with_what_retention_and_repetition_need():
    for statement in [*schema.folder("tables", ttl="30 DAY"), schema.text("event.sql", event="e", ttl="30 DAY")]:
        assert "{" not in statement
        assert "TTL 30 DAY" in statement
        assert "DEDUP UPSERT KEYS(" in statement
        assert "WAL" in statement
    for statement in schema.folder("views", ttl="30 DAY"):
        assert "{" not in statement
        assert "VIEW" in statement
    every = (Path(schema.__file__).parent / "sql").rglob("*.sql")
    assert all(path.read_text().startswith("-- ") for path in every)


class Answers:
    """A QuestDB that answers by the first part of a statement, and remembers what it was told."""

    def __init__(self, answers: dict[str, list[dict[str, object]]]) -> None:
        self.answers = answers
        self.told: list[str] = []

    async def sql(self, statement: str) -> list[dict[str, object]]:
        self.told.append(statement)
        return next((rows for begin, rows in self.answers.items() if statement.startswith(begin)), [])


def table(name: str, ttl: int = 30, unit: str = "DAY", kind: str = "T", *, dedup: bool = True) -> dict[str, object]:
    return {"table_name": name, "table_type": kind, "ttlValue": ttl, "ttlUnit": unit, "dedup": dedup}


def looked_after(answers: dict[str, list[dict[str, object]]], most_bytes: int = 1000) -> tuple[Answers, Metrics]:
    store, metrics = Answers(answers), Metrics()
    upkeep = Upkeep(store, Relay(store, TTL, metrics), metrics, ttl=TTL, most_bytes=most_bytes)  # type: ignore[arg-type]
    asyncio.run(upkeep.once())
    return store, metrics


def test_a_changed_retention_reaches_tables_and_views():
    rows = [table("price_log", 7), table("price_ohlc", 7, kind="M"), table("order", 30), table("v", 0, "HOUR", "V")]
    store, _ = looked_after({"SELECT table_name": rows})

    altered = [statement for statement in store.told if statement.startswith("ALTER")]
    assert altered == ['ALTER TABLE "price_log" SET TTL 30 DAY', 'ALTER MATERIALIZED VIEW "price_ohlc" SET TTL 30 DAY']


def test_a_table_that_another_made_gets_deduplication():
    store, _ = looked_after({"SELECT table_name": [table("foreign", dedup=False)]})

    assert 'ALTER TABLE "foreign" DEDUP ENABLE UPSERT KEYS(timestamp, run_id, seq)' in store.told


def test_a_suspended_table_is_resumed_and_counted():
    row = {"name": "price_log", "suspended": True, "writerTxn": 3, "sequencerTxn": 9, "errorMessage": "[errno=28] no space"}
    store, metrics = looked_after({"SELECT name, suspended": [row]})

    assert 'ALTER TABLE "price_log" RESUME WAL' in store.told
    assert value(metrics, "ticks_tables_suspended") == 1
    assert value(metrics, "ticks_tables_resumed_total") == 1
    assert value(metrics, "ticks_store_full") == 1
    assert value(metrics, "ticks_transactions_behind") == 6


def test_too_large_tables_lose_their_oldest_days_but_never_the_one_that_is_written():
    partitions = [{"name": f"2026-11-{day:02}", "diskSize": 400, "active": day == 4} for day in (2, 1, 3, 4)]
    answers = {"SELECT table_name": [table("price_log")], "SELECT name, diskSize": partitions}
    store, metrics = looked_after(answers, most_bytes=1000)

    dropped = [statement for statement in store.told if "DROP PARTITION" in statement]
    assert [re.findall(r"'(.+)'", statement) for statement in dropped] == [["2026-11-01"], ["2026-11-02"]]
    assert value(metrics, "ticks_disk_bytes") == 800
    assert value(metrics, "ticks_partitions_dropped_total") == 2
    store, _ = looked_after(answers, most_bytes=1)
    assert not any("2026-11-04" in statement for statement in store.told if "DROP" in statement)


ENVIRONMENT = {
    "CROWSNEST_TICKS_QUESTDB_URL": "http://questdb:1",
    "CROWSNEST_TICKS_QUESTDB_USER": "crowsnest",
    "CROWSNEST_TICKS_QUESTDB_PASSWORD_FILE": "/run/secrets/x",
    "CROWSNEST_TICKS_RETENTION": "30d",
    "CROWSNEST_TICKS_RETENTION_SIZE": "10GiB",
    "CROWSNEST_TICKS_HOST": "0.0.0.0",
    "CROWSNEST_TICKS_PORT": "1234",
}


def test_settings_are_read():
    settings = RelaySettings.from_environment(ENVIRONMENT)

    assert (str(settings.ttl), settings.most_bytes, settings.port) == ("30 DAY", 10 * 2**30, 1234)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("RETENTION", "30", "such as 30d"),
        ("RETENTION_SIZE", "10GB", "such as 10GiB"),
        ("PORT", "70000", "must be a port"),
        ("QUESTDB_URL", "questdb", "http"),
        ("HOST", "", "is needed"),
        ("COLOUR", "red", "unknown variable"),
    ],
)
def test_bad_settings_are_refused_by_name(name, text, told):
    with pytest.raises(SettingsError, match=told):
        RelaySettings.from_environment({**ENVIRONMENT, f"CROWSNEST_TICKS_{name}": text})


def test_a_password_that_is_not_there_is_told(tmp_path):
    settings = RelaySettings.from_environment({**ENVIRONMENT, "CROWSNEST_TICKS_QUESTDB_PASSWORD_FILE": str(tmp_path / "none")})
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.password()
    (tmp_path / "none").write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        settings.password()
