"""What the sender's thread makes of a queued record: one line of the record contract, whatever was put into it."""

# ruff: noqa: BLE001 - one record that cannot be encoded must not cost the others
from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from crowsnest.logs._buffer import Entry
from crowsnest.logs._capture import (
    LATE_ATTRIBUTES,
    NOT_FREE,
    STACK_FIELD,
    capture,
    encode_fields,
    format_message,
    printable,
    safe_repr,
)
from crowsnest.logs._contract import (
    FREE_FIELD_PREFIX,
    MAX_FIELD_NAME_BYTES,
    MAX_LINE_BYTES,
    MESSAGE_FIELD,
    RESERVED_FIELDS,
    SOURCES,
    level_name,
    origin_of,
)
from crowsnest.logs._ledger import DropReason

_NANOSECONDS = 1_000_000_000
# Logger names and field names are few in a sane program; the caches are emptied when a program is not sane.
_MAX_CACHED = 1024
_ENCODED_SOURCES = frozenset(f'"{source}"'.encode() for source in SOURCES)

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_values = msgspec.json.Decoder(list[msgspec.Raw]).decode


@lru_cache(maxsize=4)
def _clock(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _field_name(name: str) -> str:
    """A name VictoriaLogs takes: not empty, not reserved, at most `MAX_FIELD_NAME_BYTES` long."""
    if not name or name in RESERVED_FIELDS:
        name = FREE_FIELD_PREFIX + name
    if len(name.encode()) > MAX_FIELD_NAME_BYTES:
        name = name.encode()[:MAX_FIELD_NAME_BYTES].decode("utf-8", "ignore")
    return name


def _free_fields(fields: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """`fields` under names that are safe, without standard record attributes."""
    free: dict[str, msgspec.Raw] = {}
    for name, value in fields.items():
        if name in NOT_FREE and name != STACK_FIELD:
            continue
        if name == "source" and bytes(value) not in _ENCODED_SOURCES:
            free[FREE_FIELD_PREFIX + "source"] = value
        else:
            free[_field_name(name)] = value
    return free


class LineEncoder:
    """Encodes the records of one handler. Not thread-safe: one thread sends."""

    def __init__(self, extra_fields: Mapping[str, object] | None = None) -> None:
        self._extra_fields = _free_fields(_decode(encode_fields(dict(extra_fields)))) if extra_fields else {}
        self._contexts: dict[tuple[str, int], dict[str, object]] = {}
        self._vetted_names: set[str] = set()

    def line(self, entry: Entry, boot: str) -> bytes | DropReason:
        """One record as a line with its newline, or why there is none."""
        seq, time_ns, _, name, levelno, message, arguments, names, values = entry
        try:
            seconds, nanoseconds = divmod(time_ns, _NANOSECONDS)
            head = f'{{"_time":"{_clock(seconds)}.{nanoseconds:09d}Z","boot":"{boot}","seq":{seq},'
            line = head.encode() + self.body(name, levelno, message, arguments, names, values)[1:] + b"\n"
        except Exception:
            return DropReason.ENCODE
        return line if len(line) <= MAX_LINE_BYTES else DropReason.TOO_LARGE

    def body(
        self,
        name: str,
        levelno: int,
        message: str,
        arguments: tuple[object, ...],
        names: tuple[str, ...],
        values: bytes,
    ) -> bytes:
        """The record as a JSON object without `_time`, `boot` and `seq`."""
        context = self._contexts.get((name, levelno)) or self._make_context(name, levelno)
        fields: dict[str, object]
        if values:
            free = dict(zip(names, _decode_values(values), strict=True)) if names else _decode(values)
            fields = {**context, **(free if free.keys() <= self._vetted_names else self._vet(free))}
        else:
            fields = context.copy()
        if arguments:
            message, trouble = format_message(message, arguments)
            if trouble is not None:
                fields["log_format_error"] = trouble
        fields[MESSAGE_FIELD] = message
        return encode_fields(fields)

    def _make_context(self, name: str, levelno: int) -> dict[str, object]:
        """What every record of this logger and level has in common."""
        text = printable(name)
        source, strategy_id = origin_of(text)
        context: dict[str, object] = {"level": level_name(levelno), "source": source}
        if strategy_id is not None:
            context["strategy_id"] = strategy_id
        context["component"] = context["logger"] = text
        context.update(self._extra_fields)
        if len(self._contexts) >= _MAX_CACHED:
            self._contexts.clear()
        self._contexts[(name, levelno)] = context
        return context

    def _vet(self, extras: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """`extras` with safe names; names that need no change are remembered and skip this from then on."""
        for name in LATE_ATTRIBUTES:
            extras.pop(name, None)
        if extras.keys() <= self._vetted_names:
            return extras
        free = _free_fields(extras)
        if len(self._vetted_names) >= _MAX_CACHED:
            self._vetted_names.clear()
        # `source` is never remembered, because its value must be looked at each time
        self._vetted_names.update((free.keys() & extras.keys()) - {"source"})
        return free


def origin_fields(record: logging.LogRecord) -> tuple[str, int]:
    """Logger name and level of a record, also of one built by hand without them."""
    name, levelno = record.name, record.levelno
    return (
        name if type(name) is str else safe_repr(name),
        int(levelno) if isinstance(levelno, int) else logging.INFO,
    )


class RecordEncoder(LineEncoder):
    """Encodes a record at once, for those who do not queue it."""

    def encode(self, record: logging.LogRecord) -> bytes:
        """The record as a JSON object without `_time`, `boot` and `seq`."""
        message, arguments, _, names, values = capture(record)
        return self.body(*origin_fields(record), message, arguments, names, values)
