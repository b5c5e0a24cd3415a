"""`configure_logging`: structlog and `logging` through one chain, to VictoriaLogs, a rotated file and the console.

Every record, from whichever of the two, takes the same way: drop rules, structlog's processors, redaction,
`VictoriaLogsHandler`, JSON, file and console. Its line in the file carries the `boot` and `seq` that the handler gave
it, so that `python -m crowsnest.logs reconcile` can tell what the store lacks.
"""

# ruff: noqa: BLE001 - nothing may be raised into a trading thread
from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

from crowsnest.logs._capture import SEEN_ATTRIBUTE
from crowsnest.logs._contract import (
    DEFAULT_STREAM_FIELDS,
    FREE_FIELD_PREFIX,
    MAX_FIELD_NAME_BYTES,
    RESERVED_FIELDS,
    SOURCES,
    level_name,
    origin_of,
)
from crowsnest.logs._handler import VictoriaLogsHandler
from crowsnest.logs._ledger import HandlerStats
from crowsnest.logs._stamp import Stamper
from crowsnest.logs.drops import DEFAULT_DROP_RULES, DropRule, DropTable
from crowsnest.logs.files import DEFAULT_FILE, DEFAULT_MAX_BYTES, DEFAULT_MAX_FILES, FileStats, RotatingFileHandler
from crowsnest.logs.redact import RedactionRules, Redactor, printable, safe_repr

ENVIRONMENT_PREFIX: Final = "CROWSNEST_LOG_"

_NANOSECONDS = 1_000_000_000
_SUMMARY_INTERVAL_SECONDS = 300.0
_NOTE_INTERVAL_SECONDS = 60.0
_MAX_DEPTH = 4
_CHAIN_KEYS = frozenset({"event", "timestamp", "level", "exception", "stack"})
# A free field of such a name is kept under `FREE_FIELD_PREFIX`.
_TAKEN_NAMES = frozenset(
    {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", *RESERVED_FIELDS, *_CHAIN_KEYS}
)
# What other handlers leave on a record of `logging`; no free field of a caller can have these names.
_LATE_NAMES = ("message", "asctime")
_LOGGER = "crowsnest.logs"
_SCALARS = frozenset({str, int, float, bool, type(None)})
# Logger names are few in a sane program.
_MAX_CACHED = 1024


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """What `configure_logging` sets up; every field but the rules can come from `CROWSNEST_LOG_<FIELD>`.

    Attributes:
        level: least level of the root logger, by name.
        console: whether each line goes to stderr, too.
        file: the rotated file, None (in the environment: empty) for none. A user interface's server takes
            `logs/frontend.log`.
        max_bytes: size at which the file is rotated.
        max_files: files kept, the current one included.
        victorialogs: whether records go to VictoriaLogs.
        victorialogs_url: its base URL; by default `VICTORIALOGS_URL`, else that of the stack.
        stream_fields: the fields that make a stream in VictoriaLogs.
        extra_fields: fields of every record, unless it has its own; in the environment `app=trader,desk=7`.
        redaction: what is hidden besides the built-in rules.
        drop_rules: what is not logged at all.
    """

    level: str = "INFO"
    console: bool = True
    file: Path | None = DEFAULT_FILE
    max_bytes: int = DEFAULT_MAX_BYTES
    max_files: int = DEFAULT_MAX_FILES
    victorialogs: bool = True
    victorialogs_url: str | None = None
    stream_fields: tuple[str, ...] = DEFAULT_STREAM_FIELDS
    extra_fields: Mapping[str, object] = field(default_factory=dict)
    redaction: RedactionRules = field(default_factory=RedactionRules)
    drop_rules: tuple[DropRule, ...] = DEFAULT_DROP_RULES

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **chosen: object) -> LoggingSettings:
        """Defaults, then the environment, then what was chosen in the program; the last one wins.

        Raises:
            ValueError: a variable or an argument is not usable; the text names it.
            TypeError: an argument is not a setting.
        """
        values: dict[str, object] = {}
        for name, parse in _PARSERS.items():
            variable = ENVIRONMENT_PREFIX + name.upper()
            text = environment.get(variable)
            if text is not None:
                try:
                    values[name] = parse(text.strip())
                except ValueError as error:
                    raise ValueError(f"{variable}={text!r}: {error}") from None
        values.update(chosen)
        if isinstance(file := values.get("file"), str):
            values["file"] = Path(file) if file else None
        if isinstance(level := values.get("level"), str):
            values["level"] = _level(level)
        for name in ("stream_fields", "drop_rules"):
            if name in values:
                values[name] = tuple(cast("Sequence[object]", values[name]))
        return cls(**values)  # type: ignore[arg-type]


def _level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise ValueError(f"not a level: {text!r}")
    return text.upper()


def _switch(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("neither true nor false")


def _pairs(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(name.strip() and separator for name, separator, _ in pairs):
        raise ValueError("not of the form name=value,name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


_PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "level": _level,
    "console": _switch,
    "file": lambda text: Path(text) if text else None,
    "max_bytes": int,
    "max_files": int,
    "victorialogs": _switch,
    "victorialogs_url": lambda text: text or None,
    "stream_fields": lambda text: tuple(name.strip() for name in text.split(",")),
    "extra_fields": _pairs,
}


@dataclass(frozen=True, slots=True)
class LoggingStats:
    """What became of the records offered; `offered == logged + sum(dropped_by_rule) + failed`."""

    offered: int
    logged: int
    dropped_by_rule: Mapping[str, int]
    failed: int
    """Records of which no line could be made."""
    victorialogs: HandlerStats | None
    file: FileStats | None


def source_processors() -> tuple[Processor, ...]:
    """The processors before the renderer, in their order; `JSONRenderer` ends the chain."""
    return (
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    )


class LoggingSetup(logging.Handler):
    """The one handler that `configure_logging` puts on the root logger; holds and feeds the outputs.

    Its children are not on any logger themselves. A copy of each record is made, so handlers of other origin see the
    record as it was.
    """

    def __init__(self, settings: LoggingSettings) -> None:
        self.settings = settings
        self._redactor = Redactor(settings.redaction)
        self._table = DropTable(settings.drop_rules)
        self._extra_fields = dict(settings.extra_fields)
        self.victorialogs: VictoriaLogsHandler | None = None
        self.file: RotatingFileHandler | None = None
        if settings.file is not None:
            self.file = RotatingFileHandler(settings.file, max_bytes=settings.max_bytes, max_files=settings.max_files)
        if settings.victorialogs:
            self.victorialogs = VictoriaLogsHandler(settings.victorialogs_url, settings.stream_fields)
        self._stamper = Stamper(self.victorialogs) if self.victorialogs else None
        # After its outputs: `logging.shutdown` closes in reverse order, and `close` here still logs a summary.
        super().__init__(logging.DEBUG)
        first, *others = source_processors()
        self.setFormatter(
            ProcessorFormatter(
                foreign_pre_chain=(_adopt, structlog.stdlib.ExtraAdder(), first, *others),
                processors=(
                    self._complete,
                    self._send,
                    ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(serializer=_serialize),
                ),
            )
        )
        self._counting = threading.RLock()
        self._offered = self._logged = self._failed = 0
        self._next_note = 0.0
        self._next_summary = time.monotonic() + _SUMMARY_INTERVAL_SECONDS
        self._summed_up: dict[str, int] = {}
        self._nesting = _Nesting()
        self._context_of = lru_cache(maxsize=_MAX_CACHED)(self._make_context)
        self._name_as_taker = os.urandom(8).hex()
        _setups.add(self)

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record through the chain, without the handler's lock; never raises."""
        depth = self._nesting.depth
        self._nesting.depth = depth + 1
        try:
            if self._has_taken(record) or not self.filter(record):
                return False
            self._count("_offered")
            if depth >= _MAX_DEPTH:
                raise RecursionError("a value logs while it is logged")
            record = self._with_message(record)
            event, fields = _content(record)
            if self._table.drops(record.levelno, record.name, event, fields):
                self._sum_up()
                return False
            line = self.format(record)
            self._count("_logged")
            if self.file is not None:
                self.file.write_line(line)
            if self.settings.console:
                _print(line)
        except Exception as error:
            self._count("_failed")
            self._note(f"record of logger {record.name!r} not logged: {type(error).__name__}")
            return False
        finally:
            self._nesting.depth = depth
        return True

    def _has_taken(self, record: logging.LogRecord) -> bool:
        """Whether this handler, set on a logger and on an ancestor of it, is offered `record` again."""
        seen: tuple[object, ...] = record.__dict__.get(SEEN_ATTRIBUTE, ())
        if self._name_as_taker in seen:
            return True
        record.__dict__[SEEN_ATTRIBUTE] = (*seen, self._name_as_taker, 0)
        return False

    def _with_message(self, record: logging.LogRecord) -> logging.LogRecord:
        """`record`, or a copy whose message is text already: made of clean arguments, or of ones that do not fit."""
        message, arguments = record.msg, record.args
        if _is_of_structlog(record) or (type(message) is str and not arguments):
            return record
        if type(message) is str and type(arguments) is tuple and all(type(each) in _SCALARS for each in arguments):
            with contextlib.suppress(Exception):
                record.getMessage()
                return record
        copy = logging.makeLogRecord(record.__dict__)
        try:
            if isinstance(arguments, Mapping):
                copy.args = self._redactor.fields(arguments)
            elif arguments:
                copy.args = tuple(map(self._redactor.argument, arguments))
            copy.msg = self._redactor.argument(message)
            copy.msg = copy.getMessage()
        except Exception as error:
            copy.__dict__["log_format_error"] = f"{type(error).__name__}: {safe_repr(copy.args)}"
            copy.msg = _as_text(message)
        copy.args = None
        return copy

    def _count(self, name: str) -> None:
        with self._counting:
            setattr(self, name, getattr(self, name) + 1)

    def _complete(self, _: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
        """Give the event safe names, plain and clean values, and the fields that say where it comes from."""
        record = event_dict.pop("_record")
        from_structlog = event_dict.pop("_from_structlog")
        chain = {name: event_dict.pop(name) for name in _CHAIN_KEYS if name in event_dict}
        arguments = event_dict.pop("positional_args", None) if from_structlog else None
        free: dict[str, Any] = {}
        for key, value in event_dict.items():
            name = printable(key) if type(key) is str else safe_repr(key)
            if name != SEEN_ATTRIBUTE and (from_structlog or name not in _LATE_NAMES):
                free[_safe_name(name, value)] = value
        clean = {**self._context_of(record.name), **self._redactor.fields(free)}
        text = _as_text(self._redactor.argument(chain.get("event", "")))
        if arguments:
            try:
                text = text % tuple(map(self._redactor.argument, arguments))
            except Exception as error:
                clean["log_format_error"] = self._redactor.text(f"{type(error).__name__}: {safe_repr(arguments)}")
        done: EventDict = {"event": self._redactor.text(text), **clean}
        done["timestamp"] = chain["timestamp"]
        # The closed set of the contract: `level` is a stream field, custom levels must not add to it.
        done["level"] = level_name(record.levelno).lower()
        for name in ("exception", "stack"):
            if chain.get(name):
                done[name] = self._redactor.text(_as_text(chain[name]))
        done["_record"], done["_from_structlog"] = record, from_structlog
        return done

    def _make_context(self, logger_name: str) -> dict[str, Any]:
        """What every record of a logger has in common, clean."""
        source, strategy_id = origin_of(logger_name)
        context: dict[str, Any] = {"source": source}
        if strategy_id is not None:
            context["strategy_id"] = strategy_id
        context["component"] = context["logger"] = logger_name
        return self._redactor.fields({**context, **self._extra_fields})

    def _send(self, _: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
        """Hand the finished record to VictoriaLogs, and note which it was."""
        if self._stamper is None:
            return event_dict
        origin: logging.LogRecord = event_dict["_record"]
        record = logging.LogRecord(origin.name, origin.levelno, origin.pathname, origin.lineno, event_dict["event"], None, None)
        record.exc_text, record.stack_info = event_dict.get("exception"), event_dict.get("stack")
        record.__dict__.update(
            {name: value for name, value in event_dict.items() if name not in _CHAIN_KEYS and name not in _META_KEYS}
        )
        stamp = self._stamper.send(record)
        if stamp is not None:
            event_dict["_time"] = _rfc3339(stamp.time_ns)
            event_dict["boot"] = stamp.boot
            event_dict["seq"] = stamp.seq
        return event_dict

    def _sum_up(self) -> None:
        """Tell, now and then, what the drop rules took: nothing is dropped silently."""
        if time.monotonic() < self._next_summary:
            return
        self._next_summary = time.monotonic() + _SUMMARY_INTERVAL_SECONDS
        self._log_summary()

    def _log_summary(self) -> None:
        counts = self._table.counts
        new = {name: count - self._summed_up.get(name, 0) for name, count in counts.items()}
        self._summed_up = counts
        if any(new.values()):
            record = logging.LogRecord(_LOGGER, logging.INFO, __file__, 0, "records dropped by rule", None, None)
            record.__dict__["dropped_by_rule"] = [{"rule": name, "count": count} for name, count in new.items() if count]
            self.handle(record)

    def _note(self, text: str) -> None:
        if time.monotonic() >= self._next_note:
            self._next_note = time.monotonic() + _NOTE_INTERVAL_SECONDS
            with contextlib.suppress(OSError):
                os.write(2, f"crowsnest.logs: {text}\n".encode("utf-8", "backslashreplace"))

    def stats(self) -> LoggingStats:
        """A snapshot of every count."""
        with self._counting:
            offered, logged, failed, dropped = self._offered, self._logged, self._failed, self._table.counts
        return LoggingStats(
            offered=offered,
            logged=logged,
            dropped_by_rule=dropped,
            failed=failed,
            victorialogs=self.victorialogs.stats() if self.victorialogs else None,
            file=self.file.stats() if self.file else None,
        )

    def flush(self) -> None:
        """Ask for sending now, without waiting."""
        if self.victorialogs is not None:
            self.victorialogs.flush()

    def close(self) -> None:
        """Deliver what is queued, within the handler's time, and close the file; also done at interpreter exit."""
        self._log_summary()
        if self.victorialogs is not None:
            self.victorialogs.close()
        if self.file is not None:
            self.file.close()
        super().close()

    def after_fork_in_child(self) -> None:
        """Renew the locks that another thread of the parent may have held."""
        self._counting = threading.RLock()
        if self._stamper is not None:
            self._stamper.renew_lock()


class _Nesting(threading.local):
    depth = 0


_META_KEYS = frozenset({"_record", "_from_structlog"})
_configuring = threading.RLock()
_setups: weakref.WeakSet[LoggingSetup] = weakref.WeakSet()
_current: LoggingSetup | None = None


def configure_logging(settings: LoggingSettings | None = None, **chosen: Any) -> LoggingSetup:
    """Send all records of `logging` and structlog through one chain.

    Called again with the same settings it changes nothing; with others, the new setup takes the place of the old one,
    which delivers what it has and closes. Handlers of other origin on the root logger stay as they are.

    Args:
        settings: the settings, whole; the environment is then not looked at.
        chosen: single settings instead (see `LoggingSettings`); they win over the environment.

    Returns:
        The setup: `stats()`, `flush()`, `close()`, and the outputs as `victorialogs` and `file`.

    Raises:
        ValueError: a setting is not usable; the logging in place is unchanged.
        TypeError: an argument is not a setting, or `settings` and single ones were given.
    """
    global _current  # noqa: PLW0603 - logging is configured once for a process
    if settings is not None and chosen:
        raise TypeError("give settings or single settings, not both")
    settings = settings or LoggingSettings.from_environment(**chosen)
    root = logging.getLogger()
    with _configuring:
        old = _current
        if old is not None and old.settings == settings and old in root.handlers:
            return old
        new = LoggingSetup(settings)
        handlers = [handler for handler in root.handlers if handler is not old]
        root.handlers = [*handlers, new]  # at once: no record meets both, or neither
        root.setLevel(settings.level)
        _configure_structlog()
        _current = new
    if old is not None:
        old.close()
    return new


def logging_handler(**chosen: Any) -> LoggingSetup:
    """The whole chain as one handler, for `logging.config.dictConfig`: `"()": "crowsnest.logs.setup.logging_handler"`.

    Settings as with `configure_logging`, but nothing outside the handler is touched: the level of the root logger and
    structlog stay as they are.

    Raises:
        ValueError: a setting is not usable.
        TypeError: an argument is not a setting.
    """
    return LoggingSetup(LoggingSettings.from_environment(**chosen))


def _configure_structlog() -> None:
    # Loggers that were cached keep the processors they have, which stay good: none of them belongs to one setup.
    structlog.configure(
        processors=[*source_processors(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _adopt(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    """Keep a traceback or stack that is text already; structlog would render the current stack instead."""
    if stack := event_dict.pop("stack_info", None):
        event_dict["stack"] = stack
    record = event_dict["_record"]
    if record.exc_text and not record.exc_info:
        event_dict["exception"] = record.exc_text
    return event_dict


def _is_of_structlog(record: logging.LogRecord) -> bool:
    return isinstance(record.msg, dict) and "_name" in record.__dict__


def _content(record: logging.LogRecord) -> tuple[str, Mapping[str, object]]:
    """Message and free fields (with others) of a record."""
    if _is_of_structlog(record):
        event = cast("dict[str, object]", record.msg)
        return _as_text(event.get("event", "")), event
    return record.getMessage(), record.__dict__


def _safe_name(name: str, value: object) -> str:
    """`name`, or what a field of that name is called in a record of the contract."""
    wrong_source = name == "source" and not (isinstance(value, str) and value in SOURCES)
    if not name or wrong_source or name in _TAKEN_NAMES:
        name = FREE_FIELD_PREFIX + name
    if len(name) * 4 > MAX_FIELD_NAME_BYTES and len(name.encode("utf-8", "replace")) > MAX_FIELD_NAME_BYTES:
        name = name.encode("utf-8", "replace")[:MAX_FIELD_NAME_BYTES].decode("utf-8", "ignore")
    return name


def _as_text(value: object) -> str:
    return value if type(value) is str else str.__str__(value) if isinstance(value, str) else safe_repr(value)


def _serialize(event_dict: EventDict, **_: object) -> str:
    return msgspec.json.encode(event_dict).decode()


def _rfc3339(time_ns: int) -> str:
    seconds, nanoseconds = divmod(time_ns, _NANOSECONDS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


def _print(line: str) -> None:
    with contextlib.suppress(Exception):  # closed, or a full pipe set not to block
        sys.stderr.write(line + "\n")


def _renew_after_fork() -> None:
    global _configuring  # noqa: PLW0603 - another thread of the parent may have held it
    _configuring = threading.RLock()
    for setup in list(_setups):
        with contextlib.suppress(Exception):  # a fork must succeed, whatever becomes of logging
            setup.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)
