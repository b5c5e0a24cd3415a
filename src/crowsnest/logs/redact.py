"""Keep secrets and PnL values out of log records: by the name of a field, and by what a text looks like.

A record passes here once, as plain data, before any output sees it. Whatever the values are, the result consists of
JSON types only, so that no object can render itself, and a secret with it, later on.
"""

# ruff: noqa: BLE001 - values of the user may raise anything
from __future__ import annotations

import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import msgspec

from crowsnest.logs import _secrets
from crowsnest.logs._secrets import PNL_MASK, REDACTED, TextRule

MAX_TEXT_CHARS: Final = 64 * 1024
"""Longer texts lose their middle; a traceback says most at both ends."""
MAX_DEPTH: Final = 12
MAX_NODES: Final = 5_000
"""Values looked at in one record; beyond it (or `MAX_DEPTH`) a value is replaced by `CUT`, never passed on unseen."""
CUT: Final = "[cut: nested too deep or too large]"

_COLLECTIONS = (Mapping, list, tuple, set, frozenset, bytes, bytearray, memoryview)
_BYTES = (bytes, bytearray, memoryview)
_MAX_CACHED_NAMES = 4096
_INT_LIMIT = 1 << 63

_SECRET_NAME = re.compile(_secrets.HIDDEN_NAME)
_PNL_NAME = re.compile(_secrets.PNL_NAME)
_CAMEL = tuple(re.compile(pattern) for pattern in _secrets.CAMEL)
_NOT_WORD = re.compile(_secrets.NOT_WORD)
_TRIGGER = re.compile(_secrets.TRIGGER)


class _Replacement:
    """A rule, compiled."""

    def __init__(self, rule: TextRule) -> None:
        self._search = re.compile(rule.plain_pattern).search
        self._replace = partial(re.compile(rule.pattern).sub, rf"\1{rule.mask}\2")

    def __call__(self, text: str) -> str:
        return self._replace(text) if self._search(text) else text


_HIDE_SECRETS = tuple(map(_Replacement, _secrets.SECRET_RULES))
_HIDE_PNL = _Replacement(_secrets.PNL_RULE)


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """What is hidden besides the built-in rules.

    Attributes:
        names: more field names whose values are secrets; compared whole, without regard to case, `-` and `_`.
        patterns: more regular expressions; each match in a text is replaced.
        mask_pnl: whether values of PnL fields, and PnL figures in texts, are masked.
    """

    names: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    mask_pnl: bool = True


class Redactor:
    """Makes records plain and clean; safe to call from any thread, and never raises.

    Raises:
        ValueError: (constructor) a pattern is not a regular expression.
    """

    def __init__(self, rules: RedactionRules | None = None) -> None:
        rules = rules or RedactionRules()
        own_names = frozenset(_words(name).replace("_", "") for name in rules.names)
        try:
            self._own_patterns = tuple(re.compile(pattern) for pattern in rules.patterns)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        self._mask_pnl = rules.mask_pnl

        def mask_of(name: str) -> str | None:
            words = _words(name)
            if _SECRET_NAME.search(words) or words.replace("_", "") in own_names:
                return REDACTED
            return PNL_MASK if rules.mask_pnl and _PNL_NAME.search(words) else None

        self._mask_of: Callable[[str], str | None] = lru_cache(maxsize=_MAX_CACHED_NAMES)(mask_of)

    def text(self, text: str) -> str:
        """`text` with what looks like a secret replaced, and its middle cut out where too long."""
        if _TRIGGER.search(text):
            for hide in _HIDE_SECRETS:
                text = hide(text)
            if self._mask_pnl:
                text = _HIDE_PNL(text)
        for pattern in self._own_patterns:
            text = pattern.sub(REDACTED, text)
        # Cut after the replacements: a cut secret is not recognised.
        return clip(text, MAX_TEXT_CHARS)

    def fields(self, fields: Mapping[str, object]) -> dict[str, Any]:
        """`fields` as JSON types under the same names, secrets replaced at any depth."""
        left = [MAX_NODES]
        return {name: self._named(name, value, 0, left) for name, value in fields.items()}

    def argument(self, value: object) -> object:
        """An argument of a message: collections as clean data, everything else as it is, to be cleaned as text."""
        return self._plain(value, 0, [MAX_NODES]) if isinstance(value, _COLLECTIONS) else value

    def _named(self, name: str, value: object, depth: int, left: list[int]) -> Any:
        mask = self._mask_of(name)
        if mask is None or value is None or value is True or value is False:
            return self._plain(value, depth, left)
        return mask

    def _plain(self, value: object, depth: int, left: list[int]) -> Any:
        left[0] -= 1
        kind = type(value)
        if kind is str:
            return self.text(printable(value))  # type: ignore[arg-type]
        if value is None or kind is bool or kind is float:
            return value
        if kind is int:
            return value if -_INT_LIMIT <= value < _INT_LIMIT else str(value)  # type: ignore[operator]
        if depth >= MAX_DEPTH or left[0] < 0:
            return CUT
        try:
            return self._plain_other(value, depth + 1, left)
        except Exception:
            return self.text(safe_repr(value))

    def _plain_other(self, value: object, depth: int, left: list[int]) -> Any:
        if isinstance(value, Mapping):
            return self._plain_mapping(value, depth, left)
        if isinstance(value, (list, tuple, set, frozenset)):
            items = []
            for item in value:
                if left[0] < 0:
                    items.append(CUT)
                    break
                items.append(self._plain(item, depth, left))
            return items
        if isinstance(value, str):
            return self.text(printable(str.__str__(value)))
        if isinstance(value, numbers.Integral):
            return self._plain(int(value), depth, left)
        if isinstance(value, numbers.Real):
            return float(value)
        if isinstance(value, _BYTES):  # as text: base64 would hide a secret from the patterns
            return self.text(bytes(value).decode("utf-8", "backslashreplace"))
        if isinstance(value, BaseException):
            return self.text(safe_repr(value))
        built = msgspec.to_builtins(value, enc_hook=safe_repr, builtin_types=_BYTES, str_keys=True)
        return self._plain(built, depth, left)

    def _plain_mapping(self, value: Mapping[object, object], depth: int, left: list[int]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, item in value.items():
            if left[0] < 0:
                plain["..."] = CUT
                break
            name = key if type(key) is str else _text_of_key(key)
            plain[self.text(printable(name))] = self._named(name, item, depth, left)
        return plain


def safe_repr(value: object) -> str:
    """`repr(value)`; when that raises, the value's type and the error's."""
    try:
        return printable(repr(value))
    except Exception as error:
        return f"<{type(value).__name__}: repr() raised {type(error).__name__}>"


def clip(text: str, max_chars: int) -> str:
    """`text`, its middle replaced by a note when it is longer than `max_chars`."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"


def printable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _text_of_key(key: object) -> str:
    if isinstance(key, (bytes, bytearray)):
        return bytes(key).decode("utf-8", "backslashreplace")
    return str.__str__(key) if isinstance(key, str) else safe_repr(key)


def _words(name: str) -> str:
    for pattern in _CAMEL:
        name = pattern.sub(r"\1_\2", name)
    return _NOT_WORD.sub("_", name.lower()).strip("_")
