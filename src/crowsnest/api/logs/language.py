"""The part of LogsQL that a person may use, recognised by an allow-list.

What is not known here is refused, also what a later VictoriaLogs may bring. The reading is at least as strict as the store's
own (lib/logstorage/parser.go): every byte outside of quotes is plain ASCII, quoted text is exactly what Go unquotes, and
brackets stand only where the store reads a bracket. So a pipe that is read here as top-level is one there, and a subquery,
which is a pipe between brackets, cannot be written.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

MAX_CHARACTERS: Final = 4096
_MAX_DEPTH: Final = 20

FILTER_FUNCTIONS: Final = frozenset(
    {
        "contains_all", "contains_any", "contains_common_case", "eq_field", "equals_common_case", "exact", "i", "in",
        "ipv4_range", "ipv6_range", "le_field", "len_range", "lt_field", "re", "seq", "string_range", "value_type",
    }
)  # fmt: skip
_RANGES: Final = frozenset({"range", "day_range", "week_range"})
ROW_PIPES: Final = frozenset(
    {
        "collapse_nums", "copy", "cp", "decolorize", "delete", "del", "rm", "drop", "drop_empty_fields", "extract",
        "extract_regexp", "fields", "keep", "filter", "where", "format", "json_array_len", "len", "math", "eval", "pack_json",
        "pack_logfmt", "rename", "mv", "replace", "replace_regexp", "unpack_json", "unpack_logfmt",
    }
)  # fmt: skip
"""Pipes that look at one row at a time: their rows have a time, so that the newest can be asked for, page by page."""
PIPES: Final = ROW_PIPES | {
    "facets", "field_names", "field_values", "first", "head", "last", "limit", "offset", "order", "sample", "skip", "sort",
    "stats", "top", "uniq", "unroll",
}  # fmt: skip
_REFUSED_PIPES: Final = {
    "join": "it reads a second time, outside of this query's limits",
    "union": "it reads a second time, outside of this query's limits",
    "stream_context": "it reads outside of the time range; open the context of a record instead",
    "block_stats": "it shows the insides of the store",
    "blocks_count": "it shows the insides of the store",
}
_NO_FIRST_WORDS: Final = PIPES | frozenset(_REFUSED_PIPES) | {"stats_remote", "unpack_syslog", "unpack_words", "hash"}
# What may stand before a parenthesis in the arguments of a pipe.
_ARGUMENT_WORDS: Final = frozenset(
    {
        "avg", "count", "count_empty", "count_uniq", "count_uniq_hash", "histogram", "max", "median", "min", "quantile", "rate",
        "rate_sum", "row_any", "row_max", "row_min", "sum", "sum_len", "uniq_values", "values",
        "abs", "ceil", "exp", "floor", "ln", "round",
        "by", "except", "fields", "on", "partition",
    }
)  # fmt: skip
_ARGUMENT_SIGNS: Final = frozenset("*,:=-+/%^&")
# Signs that may stand within a word: `2026-11-21T10:00:00Z`, `10.0.0.1/8`, `user@host`.
_WORD_SIGNS: Final = frozenset("-+/@%&$;?^=<>~!:")
_COMPARISONS: Final = frozenset({"=", "!=", "~", "!~", "<", ">"})

_ESCAPE: Final = r"\\(?:[abfnrtv\\%s]|x[0-9A-Fa-f]{2}|[0-3][0-7]{2}|u(?![dD][89a-fA-F])[0-9A-Fa-f]{4})"
_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<string>"
    r'"(?:[^"\\\r\n]|' + _ESCAPE % '"' + r')*"'
    r"|'(?:[^'\\\r\n]|" + _ESCAPE % "'" + r")*'"
    r"|`[^`\r]*`)"
    r"|(?P<word>[A-Za-z0-9_.]+)"
    r"|(?P<sign>=~|!~|!=|[!$%&()*+,\-/:;<=>?@\[\]^{|}~])"
)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class QueryRefused(ValueError):
    """The query is not of the recognised part of LogsQL.

    Args:
        detail: what is wrong, with the place.
        hint: what to write instead.
    """

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Query:
    """A recognised query: the text for the store, and the names of its pipes."""

    text: str
    pipes: tuple[str, ...] = ()

    @property
    def is_rows(self) -> bool:
        """Whether its rows are records, perhaps with other fields: newest first, page by page, and live."""
        return ROW_PIPES.issuperset(self.pipes)


class _Token(NamedTuple):
    kind: str  # string, word, sign, end
    text: str
    spaced: bool  # whether blanks stand before it
    at: int


@lru_cache(maxsize=512)
def recognise(text: str) -> Query:
    """Recognise a query: a filter, and pipes if there are any. An empty one is everything.

    Raises:
        QueryRefused: it is something else; `detail` names the place and `hint` what helps.
    """
    if len(text) > MAX_CHARACTERS:
        raise QueryRefused(f"the query has {len(text)} characters, {MAX_CHARACTERS} are allowed", "shorten it")
    if not text.strip():
        return Query("*")
    if found := _UNPRINTABLE.search(text):
        raise QueryRefused(f"a control character stands at character {found.start() + 1}", "remove it")
    tokens = _tokens(text)
    pipes = _Reader(tokens).query()
    first = tokens[0]
    # The store takes a pipe's name as the first word for a mistake. Traders look for `order`; behind `*` it means the same.
    is_pipe_name = first.kind == "word" and first.text.lower() in _NO_FIRST_WORDS and tokens[1].text != ":"
    return Query(f"* {text.lstrip()}" if is_pipe_name else text, pipes)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, spaced = 0, False
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _unreadable(text, at)
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(_Token(kind, found[0], spaced, at))
        spaced = kind == "space"
        at = found.end()
    tokens.append(_Token("end", "", spaced=True, at=len(text)))
    return tokens


def _unreadable(text: str, at: int) -> QueryRefused:
    sign = text[at]
    if sign in "\"'`":
        return QueryRefused(
            f"the quoted text at character {at + 1} has no end, or a backslash sequence that Go does not know",
            "close the quote, or put text with backslashes into backquotes",
        )
    if sign == "#":
        return QueryRefused(f"a comment begins at character {at + 1}", "remove it, or put # into quotes")
    return QueryRefused(f"{sign!r} at character {at + 1} stands outside of quotes", "put the words with it into quotes")


class _Reader:
    """Reads tokens from left to right; each method reads one thing or refuses."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def query(self) -> tuple[str, ...]:
        """A filter, and pipes behind it."""
        self._either()
        pipes: list[str] = []
        while self._takes("|"):
            pipes.append(self._pipe())
        if self._next.kind != "end":
            raise self._unexpected()
        return tuple(pipes)

    # What stands next.

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _is(self, *signs: str) -> bool:
        return self._next.kind == "sign" and self._next.text in signs

    def _is_word(self, words: Collection[str]) -> bool:
        return self._next.kind == "word" and self._next.text.lower() in words

    def _takes(self, *signs: str) -> bool:
        if not self._is(*signs):
            return False
        self._at += 1
        return True

    def _take(self, *signs: str) -> None:
        if not self._takes(*signs):
            raise self._unexpected(f"{' or '.join(signs)} is missing")

    def _unexpected(self, what: str = "") -> QueryRefused:
        token = self._next
        place = f"at character {token.at + 1}" if token.text else "at the end"
        said = f"{token.text!r} {place} is not expected" if token.text else "the query ends too early"
        if token.text == "|":
            said, what = f"a pipe stands between brackets {place}", "subqueries are not allowed"
        hint = "put words with special characters into quotes" if token.text else "write what is missing"
        return QueryRefused(f"{said}: {what}" if what else said, hint)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise QueryRefused(f"brackets or negations are nested deeper than {_MAX_DEPTH}", "write it flatter")

    # Filters.

    def _either(self) -> None:
        self._all_of()
        while self._is_word({"or"}):
            self._at += 1
            self._all_of()

    def _all_of(self) -> None:
        self._one()
        while True:
            if self._is_word({"and"}):
                self._at += 1
            elif self._next.kind == "end" or self._is("|", ")") or self._is_word({"or"}):
                return
            self._one()

    def _one(self, field: str | None = None) -> None:
        """One filter; `field` is the name before the colon that was just read."""
        self._deeper()
        token = self._next
        if self._takes("!", "-") or self._is_word({"not"}):
            self._at += token.kind == "word"
            self._one(field)
        elif self._is("("):
            if token.spaced is False and self._at and self._tokens[self._at - 1].kind != "sign":
                raise QueryRefused(
                    f"{self._tokens[self._at - 1].text!r} is not a function that may be used here",
                    "put a blank before the bracket, or see the list of functions in docs/log-api.md",
                )
            self._group(field)
        elif self._is("{"):
            self._streams()
        elif self._takes("*"):
            pass
        elif self._is(*_COMPARISONS):
            self._comparison()
        elif token.kind in ("word", "string"):
            self._phrase(field)
        else:
            raise self._unexpected()
        self._depth -= 1

    def _group(self, field: str | None) -> None:
        self._take("(")
        if field is None:
            self._either()
        else:
            self._values(field)
        self._take(")")

    def _values(self, field: str) -> None:
        """What stands in `field:(…)`: the same as anywhere, for this field."""
        self._one(field)
        while not self._is(")"):
            if self._is_word({"or", "and"}):
                self._at += 1
            self._one(field)

    def _comparison(self) -> None:
        sign = self._next.text
        self._at += 1
        if sign in "<>":
            self._takes("=")
        if sign in ("=", "!=") and self._takes("*"):
            return
        self._word_or_string()
        self._takes("*")

    def _phrase(self, field: str | None) -> None:
        """A word, a quoted text, a function, or a field with what it is compared with."""
        token = self._next
        name = token.text.lower() if token.kind == "word" else ""
        following = self._tokens[self._at + 1]
        if name in ("or", "and"):
            raise self._unexpected()
        if name == "options" and field is None:
            raise QueryRefused("options( is not allowed: it can leave the time range", 'search for the word as "options"')
        if name in FILTER_FUNCTIONS and following.text == "(" and following.kind == "sign":
            self._at += 1
            self._arguments()
            return
        if name in _RANGES and following.kind == "sign" and following.text in "([":
            self._at += 1
            self._range()
            return
        if name == "_time" and field is None and following.text == ":" and following.kind == "sign":
            self._at += 2
            self._time()
            return
        self._word_or_string(stop_at_colon=field is None)
        if field is None and self._takes(":"):
            self._one(token.text)
        elif self._is("*") and not self._next.spaced:
            self._at += 1

    def _word_or_string(self, *, stop_at_colon: bool = False) -> None:
        """A quoted text, or a word with the signs that stand in it without blanks."""
        if self._next.kind == "string":
            self._at += 1
            if not self._next.spaced and self._next.kind in ("word", "string"):
                raise QueryRefused(f"{self._next.text!r} follows a quote without a blank", "put a blank between them")
            return
        begun = self._at
        while self._next.kind == "word" or (self._next.kind == "sign" and set(self._next.text) <= _WORD_SIGNS):
            if self._at > begun and self._next.spaced:
                break
            if stop_at_colon and self._is(":"):
                break
            self._at += 1
        if self._at == begun:
            raise self._unexpected()
        if self._next.kind == "string" and not self._next.spaced:
            raise QueryRefused(f"a quote follows {self._tokens[self._at - 1].text!r} without a blank", "quote all of it")

    def _arguments(self) -> None:
        """The values of a function: words and quoted texts between commas, and nothing else."""
        self._take("(")
        while not self._takes(")"):
            if not self._takes("*"):
                self._word_or_string()
                self._takes("*")
            if not self._is(")"):
                self._take(",")

    def _range(self) -> None:
        self._take("(", "[")
        self._word_or_string()
        self._take(",")
        self._word_or_string()
        self._take(")", "]")

    def _time(self) -> None:
        if self._is_word(_RANGES):
            self._at += 1
            self._range()
        elif self._is("(", "["):
            self._range()
        elif self._is("=", "<", ">"):
            self._comparison()
        else:
            self._word_or_string()

    def _streams(self) -> None:
        """A stream filter: `{name="value", …}`."""
        self._take("{")
        while not self._takes("}"):
            if self._next.kind not in ("word", "string"):
                raise self._unexpected()
            self._at += 1
            if self._is_word({"in", "not_in"}):
                self._at += 1
                self._arguments()
            else:
                self._take("=", "!=", "=~", "!~")
                if self._next.kind not in ("word", "string"):
                    raise self._unexpected("a value in quotes is missing")
                self._at += 1
            if self._is_word({"or"}):
                self._at += 1
            elif not self._is("}"):
                self._take(",")

    # Pipes.

    def _pipe(self) -> str:
        token = self._next
        name = token.text.lower()
        if token.kind != "word" or name not in PIPES:
            reason = _REFUSED_PIPES.get(name, "it is not one of those that may be used here")
            raise QueryRefused(f"the pipe {token.text!r} is not allowed: {reason}", f"use one of {', '.join(sorted(PIPES))}")
        self._at += 1
        if name in ("filter", "where"):
            self._either()
        else:
            self._pipe_arguments()
        return name

    def _pipe_arguments(self) -> None:
        """Words, quoted texts and signs up to the next pipe; brackets are balanced, and stand behind what is known."""
        open_brackets = 0
        while self._next.kind != "end" and not (self._is("|") and not open_brackets):
            if self._takes("("):
                open_brackets += not self._took_condition()
            elif self._is(")") and open_brackets:
                self._at += 1
                open_brackets -= 1
            elif self._next.kind == "sign" and not set(self._next.text) <= _ARGUMENT_SIGNS:
                raise self._unexpected()
            else:
                self._at += 1
        if open_brackets:
            raise self._unexpected(") is missing")

    def _took_condition(self) -> bool:
        """Whether the bracket that was just read is that of `if (filter)`, which is then read to its end."""
        before = self._tokens[self._at - 2]
        word = before.text.lower() if before.kind == "word" else ""
        if word == "if":
            self._either()
            self._take(")")
            return True
        if word and not self._may_precede_bracket(word):
            self._at -= 1
            raise self._unexpected(f"{before.text!r} is not a function that may be used here")
        return False

    @staticmethod
    def _may_precede_bracket(word: str) -> bool:
        return word in _ARGUMENT_WORDS or word in PIPES or word.isdigit()
