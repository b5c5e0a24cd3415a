"""What the caller's thread does with a `logging.LogRecord`: fix its content, as cheaply as Python allows.

The extra fields become JSON at once, so that a value changed after the call is logged as it was, nothing of the user's
stays referenced, and the queue knows its size. (msgspec encodes four fields faster than a Python loop looks at their
types.) Arguments of the message that cannot change are formatted later; others are at once. All the rest, `_encode`
does on the sender's thread.
"""

# ruff: noqa: BLE001 - values and arguments of the user may raise anything, and none of it may reach a trading thread
from __future__ import annotations

import logging
import numbers
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from operator import itemgetter
from typing import TypeAlias

import msgspec

from crowsnest.logs._nesting import TooDeepError, user_code

SEEN_ATTRIBUTE = "_crowsnest_seen_by"
"""Record attribute with `boot` and `seq` of each handler that took it, flat; other JSON formatters skip its underscore."""

STANDARD_ATTRIBUTES = tuple(logging.makeLogRecord({}).__dict__)
LATE_ATTRIBUTES = ("message", "asctime", SEEN_ATTRIBUTE)
"""What other handlers, by formatting, leave on a record after its extras."""
STACK_FIELD = "stack_info"
"""Standard attribute that is kept as a field, when the caller asked for the stack."""
NOT_FREE = frozenset({*STANDARD_ATTRIBUTES, *LATE_ATTRIBUTES, "taskName"})

_LogRecord = logging.LogRecord
_STANDARD_COUNT = len(STANDARD_ATTRIBUTES)
_STANDARD_SET = frozenset(STANDARD_ATTRIBUTES)
_PLAIN = frozenset({int, float, bool, type(None), Decimal, date, timedelta})
"""Types besides `str` that never change, are small, and whose formatting runs no code of the user."""
_MAX_REPR_CHARS = 8 * 1024
_MAX_TRACEBACK_CHARS = 64 * 1024

_formatter = logging.Formatter()

Content: TypeAlias = tuple[str, tuple[object, ...], int, "tuple[str, ...]", bytes]
"""Message; its arguments, when it is yet to be formatted, and their characters; names of the extra fields; their values.

Values are a JSON array in the order of the names, or a JSON object when there are no names, or nothing.
"""

_Shape: TypeAlias = "tuple[int, Callable[[dict[str, object]], tuple[object, ...]], tuple[str, ...], tuple[str, ...]]"

_shapes: dict[int, _Shape] = {}
"""Extra fields last seen on records of a line number: attribute count, a getter of the values, their names, and
names of attributes besides that are no fields.

A record with as many attributes and all of these names has no others; that is cheaper to see than to list them.
"""
_MAX_SHAPES = 4096
_NO_NAMES: tuple[str, ...] = ()


def identity_of(record: logging.LogRecord) -> tuple[str, int] | None:
    """`boot` and `seq` under which the first `VictoriaLogsHandler` took `record`; None when none has taken it yet."""
    seen = record.__dict__.get(SEEN_ATTRIBUTE)
    return (seen[0], seen[1]) if seen and seen[1] else None


def capture(record: logging.LogRecord) -> Content:  # noqa: C901 - one function, because each call costs
    """The content of a record, fixed.

    Raises:
        TooDeepError: the record was logged by its own formatting.
    """
    message = record.msg
    if type(message) is not str or type(record) is not _LogRecord or record.exc_info or record.exc_text or record.stack_info:
        return _capture_slowly(record)
    arguments = record.args
    argument_chars = 0
    if arguments:
        if type(arguments) is not tuple:
            return _capture_slowly(record)
        for argument in arguments:
            kind = type(argument)
            if kind is str:
                argument_chars += len(argument)  # type: ignore[arg-type]
            elif kind not in _PLAIN:
                return _capture_slowly(record)
    else:
        arguments = ()
    attributes = record.__dict__
    attribute_count = len(attributes)
    if attribute_count == _STANDARD_COUNT:
        return message, arguments, argument_chars, _NO_NAMES, b""
    shape = _shapes.get(record.lineno)
    try:
        if shape is None or shape[0] != attribute_count:
            shape = _learn_shape(record)
        try:
            values = shape[1](attributes)
            for name in shape[3]:
                attributes[name]
        except KeyError:
            shape = _learn_shape(record)
            values = shape[1](attributes)
        return message, arguments, argument_chars, shape[2], _encode(values) if values else b""
    except TooDeepError:
        raise
    except Exception:
        return message, arguments, argument_chars, _NO_NAMES, encode_fields(_extras(record))


def _learn_shape(record: logging.LogRecord) -> _Shape:
    """The shape of a record's extra fields.

    Raises:
        TypeError: a name is not text, or the attributes are not those of an ordinary record.
    """
    attributes = record.__dict__
    names = tuple(islice(attributes, _STANDARD_COUNT, None))
    if any(type(name) is not str for name in names) or not _STANDARD_SET.isdisjoint(names):
        raise TypeError(names)
    fields = tuple(name for name in names if name not in LATE_ATTRIBUTES)
    late = tuple(name for name in names if name in LATE_ATTRIBUTES)
    getter = itemgetter(*fields) if len(fields) > 1 else _few(fields)
    if len(_shapes) >= _MAX_SHAPES:
        _shapes.clear()
    shape = _shapes[record.lineno] = (len(attributes), getter, fields, late)
    return shape


def _few(names: tuple[str, ...]) -> Callable[[dict[str, object]], tuple[object, ...]]:
    """`itemgetter` for less than two names, which always gives a tuple."""
    return lambda attributes: tuple([attributes[name] for name in names])


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in NOT_FREE}


def _capture_slowly(record: logging.LogRecord) -> Content:
    """`capture` for records that are not of the common kind, or have tracebacks or objects to format."""
    fields = _extras(record)
    try:
        with user_code():
            message = record.getMessage()
    except TooDeepError:
        raise
    except Exception as error:
        message = record.msg if isinstance(record.msg, str) else safe_repr(record.msg)
        fields["log_format_error"] = f"{type(error).__name__}: {safe_repr(record.args)}"
    message = message if type(message) is str else str.__str__(message) if isinstance(message, str) else safe_repr(message)
    if record.exc_info or record.exc_text:
        fields["error_traceback"] = _traceback(record)
    if record.stack_info:
        fields[STACK_FIELD] = record.stack_info
    return message, (), 0, _NO_NAMES, encode_fields(fields) if fields else b""


def format_message(message: str, arguments: tuple[object, ...]) -> tuple[str, str | None]:
    """The text of a message, and what was wrong with its arguments (None: nothing)."""
    try:
        return message % arguments, None
    except Exception as error:
        return message, f"{type(error).__name__}: {safe_repr(arguments)}"


def _clip(text: str, max_chars: int) -> str:
    """`text`, its middle cut out when longer than `max_chars`: a traceback says most at both ends."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"


def printable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def safe_repr(value: object) -> str:
    """`repr(value)`, shortened; never fails."""
    try:
        with user_code():
            return _clip(repr(value), _MAX_REPR_CHARS)
    except TooDeepError:
        raise
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
        return safe_repr(value)
    return safe_repr(value)


_encode = msgspec.json.Encoder(enc_hook=_fallback).encode


def encode_value(value: object) -> msgspec.Raw:
    """One value as JSON, always."""
    try:
        return msgspec.Raw(_encode(value))
    except TooDeepError:
        raise
    except Exception:
        return msgspec.Raw(_encode(printable(value if isinstance(value, str) else safe_repr(value))))


def encode_fields(fields: dict[str, object]) -> bytes:
    """Fields as a JSON object; a bad name or value does not cost the others."""
    try:
        return _encode(fields)
    except TooDeepError:
        raise
    except Exception:
        return _encode(
            {printable(name if type(name) is str else safe_repr(name)): encode_value(value) for name, value in fields.items()}
        )


def _traceback(record: logging.LogRecord) -> str | None:
    if not record.exc_info:
        return record.exc_text
    try:
        with user_code():
            return _clip(_formatter.formatException(record.exc_info), _MAX_TRACEBACK_CHARS)
    except TooDeepError:
        raise
    except Exception as error:  # `exc_info` may be anything: a record can be built by hand
        return f"<traceback not formattable: {type(error).__name__}>"
