"""Turn a `logging.LogRecord` into the JSON object of the record contract, whatever was put into it.

Encoding happens on the caller's thread, so that a value changed after the call is logged as it was, and so that the
queue holds exact byte counts. `_time`, `boot` and `seq` are added later by the sender (`_wire`): formatting a
timestamp costs more than stamping one.
"""

# ruff: noqa: BLE001 - values and arguments of the user may raise anything, and none of it may reach a trading thread
from __future__ import annotations

import logging
import numbers
from collections.abc import Mapping
from itertools import islice

import msgspec

from crowsnest.logs._contract import (
    FREE_FIELD_PREFIX,
    MAX_FIELD_NAME_BYTES,
    MESSAGE_FIELD,
    RESERVED_FIELDS,
    SOURCES,
    level_name,
    origin_of,
)

SEEN_ATTRIBUTE = "_crowsnest_seen_by"
"""Record attribute that names the handlers which took it; for its underscore, other JSON formatters do not print it."""

_STANDARD_ATTRIBUTES = tuple(logging.makeLogRecord({}).__dict__)
_LATE_ATTRIBUTES = ("message", "asctime", SEEN_ATTRIBUTE)
"""What other handlers, by formatting, leave on a record after its extras."""
_NOT_FREE = frozenset({*_STANDARD_ATTRIBUTES, *_LATE_ATTRIBUTES, "taskName"})
_MAX_REPR_CHARS = 8 * 1024
_MAX_TRACEBACK_CHARS = 64 * 1024
# Logger names and field names are few in a sane program; the caches are emptied when a program is not sane.
_MAX_CACHED = 1024

_formatter = logging.Formatter()


def _clip(text: str, max_chars: int) -> str:
    """`text`, its middle cut out when longer than `max_chars`: a traceback says most at both ends."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"


def _printable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _safe_repr(value: object) -> str:
    try:
        return _clip(repr(value), _MAX_REPR_CHARS)
    except Exception as error:
        return f"<{type(value).__name__}: repr() raised {type(error).__name__}>"


def _fallback(value: object) -> object:
    """JSON for what msgspec does not know: number and text types (numpy's, subclasses) by value, the rest by repr."""
    try:
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            return float(value)
        if isinstance(value, str):
            return str.__str__(value)
    except Exception:  # a hostile __int__ or __float__; its repr is still worth having
        return _safe_repr(value)
    return _safe_repr(value)


_encode = msgspec.json.Encoder(enc_hook=_fallback).encode


def _encode_value(value: object) -> msgspec.Raw:
    """One value as JSON; never raises."""
    try:
        return msgspec.Raw(_encode(value))
    except Exception:
        return msgspec.Raw(_encode(_printable(value if isinstance(value, str) else _safe_repr(value))))


def _field_name(name: object) -> str:
    """A name VictoriaLogs takes: text, not empty, not reserved, at most `MAX_FIELD_NAME_BYTES` long."""
    text = _printable(name if type(name) is str else _safe_repr(name))
    if not text or text in RESERVED_FIELDS:
        text = FREE_FIELD_PREFIX + text
    if len(text.encode()) > MAX_FIELD_NAME_BYTES:
        text = text.encode()[:MAX_FIELD_NAME_BYTES].decode("utf-8", "ignore")
    return text


def _free_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """`fields` under names that are safe, without standard record attributes; never raises."""
    free: dict[str, object] = {}
    for name, value in fields.items():
        if name in _NOT_FREE:
            continue
        if name == "source" and not (isinstance(value, str) and value in SOURCES):
            free[FREE_FIELD_PREFIX + "source"] = value
        else:
            free[_field_name(name)] = value
    return free


def _misfit_message(record: logging.LogRecord, error: Exception, fields: dict[str, object]) -> str:
    """The text of a record whose arguments do not fit its format: the bare format, and why in `log_format_error`."""
    fields["log_format_error"] = f"{type(error).__name__}: {_safe_repr(record.args)}"
    return record.msg if isinstance(record.msg, str) else _safe_repr(record.msg)


def _traceback(record: logging.LogRecord) -> str | None:
    if not record.exc_info:
        return record.exc_text
    try:
        return _clip(_formatter.formatException(record.exc_info), _MAX_TRACEBACK_CHARS)
    except Exception as error:  # `exc_info` may be anything: a record can be built by hand
        return f"<traceback not formattable: {type(error).__name__}>"


class RecordEncoder:
    """Encodes records of one handler; safe to call from any thread."""

    def __init__(self, extra_fields: Mapping[str, object] | None = None) -> None:
        self._extra_fields = {name: _encode_value(value) for name, value in _free_fields(extra_fields or {}).items()}
        self._contexts: dict[tuple[str, int], dict[str, object]] = {}
        self._vetted_names: set[str] = set()
        self._vetted_types: dict[type, bool] = {}

    def encode(self, record: logging.LogRecord) -> bytes:
        """The record as a JSON object without `_time`, `boot` and `seq`.

        Raises:
            Exception: only when even the fallbacks failed (out of memory, for example).
        """
        context = self._contexts.get((record.name, record.levelno)) or self._make_context(record)
        extras = self._extras(record)
        if extras and not extras.keys() <= self._vetted_names:
            extras = self._vet(extras)
        fields = {**context, **extras} if extras else context.copy()
        try:
            fields[MESSAGE_FIELD] = record.getMessage()
        except Exception as error:
            fields[MESSAGE_FIELD] = _misfit_message(record, error, fields)
        if record.exc_info or record.exc_text:
            fields["error_traceback"] = _traceback(record)
        if record.stack_info:
            fields["stack_info"] = record.stack_info
        try:
            return _encode(fields)
        except Exception:  # one value is bad: find it, keep the others
            return _encode({name: _encode_value(value) for name, value in fields.items()})

    def _make_context(self, record: logging.LogRecord) -> dict[str, object]:
        """What every record of this logger and level has in common."""
        name = _printable(record.name if isinstance(record.name, str) else _safe_repr(record.name))
        source, strategy_id = origin_of(name)
        # records built by hand may have no level; that is no reason to lose them
        levelno = record.levelno if isinstance(record.levelno, int) else logging.INFO
        context: dict[str, object] = {"level": level_name(levelno), "source": source}
        if strategy_id is not None:
            context["strategy_id"] = strategy_id
        context["component"] = context["logger"] = name
        context.update(self._extra_fields)
        if len(self._contexts) >= _MAX_CACHED:
            self._contexts.clear()
        self._contexts[(record.name, record.levelno)] = context
        return context

    def _extras(self, record: logging.LogRecord) -> dict[str, object]:
        """What `extra=` (or a filter, or a record factory) put on the record; may still hold standard names."""
        attributes = record.__dict__
        kind = type(record)
        ordered = self._vetted_types.get(kind)
        if ordered is None:
            ordered = tuple(islice(attributes, len(_STANDARD_ATTRIBUTES))) == _STANDARD_ATTRIBUTES
            self._vetted_types[kind] = ordered
        if ordered:  # the standard attributes come first, so the rest can be taken without looking at 22 names
            return dict(islice(attributes.items(), len(_STANDARD_ATTRIBUTES), None))
        return {name: value for name, value in attributes.items() if name not in _NOT_FREE}

    def _vet(self, extras: dict[str, object]) -> dict[str, object]:
        """`extras` with safe names; names that need no change are remembered and skip this from then on."""
        for name in _LATE_ATTRIBUTES:
            extras.pop(name, None)
        if extras.keys() <= self._vetted_names:
            return extras
        free = _free_fields(extras)
        if len(self._vetted_names) >= _MAX_CACHED:
            self._vetted_names.clear()
        # `source` is never remembered, because its value must be looked at each time
        self._vetted_names.update((free.keys() & extras.keys()) - {"source"})
        return free
