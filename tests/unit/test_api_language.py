"""The recogniser of LogsQL: what the documentation shows passes, what could leave a query's bounds does not."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crowsnest.api.logs import language
from crowsnest.api.logs.language import QueryRefused, recognise
from infra.catalogue import PROJECT_ROOT

CORPUS = yaml.safe_load((PROJECT_ROOT / "tests/e2e/hostile_queries.yml").read_text(encoding="utf-8"))
PAGE = (PROJECT_ROOT / "docs/logsql.md").read_text(encoding="utf-8")
DOCUMENTED = [
    line
    for block in re.findall(r"```logsql\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if not line.startswith("#")
]
USEFUL = [
    "*",
    "",
    "foo bar",
    "foo (bar or baz) -qux",
    "level:(ERROR or WARNING)",
    "level:in(ERROR, WARNING)",
    'order_id:="O-1"',
    "price:>=5",
    "price:range[1, 5)",
    "price:range(1, inf]",
    "_time:>=2026-01-01",
    "_time:5m offset 1h",
    "_time:day_range[08:00, 18:00] offset 2h",
    '{strategy_id="a", level=~"E.*"} foo',
    '{strategy_id in ("b", "c") or source="system"}',
    'i(error*) "exact phrase"*',
    "exact(foo*)",
    '_msg:~"re.*"',
    '_msg:!~"re.*"',
    "10.0.0.1 a-b-c user@host.example x=y",
    '`back\\slash` \'single\' "dou\\"ble"',
    "größe".join(['"', '"']),
    "* | fields _time, _msg",
    "* | stats by (level, _time:5m) count() as n, count_uniq(x) if (level:in(a, b)) y | sort by (n desc) limit 5",
    "* | stats by (_time:5m offset 1h) quantile(0.99, duration) p99",
    '* | extract "price=<price>" from _msg if (price:"")',
    "* | math (a + b) / 2 as c",
    "* | uniq by (a) limit 5",
    "* | top 5 by (x)",
    "* | sort by (_time desc) partition by (x) limit 3",
    '* | replace ("a", "b") at _msg | unpack_json from _msg fields (a, b)',
    "* | filter a:b or c:d | limit 3",
]


@pytest.mark.parametrize("text", [*DOCUMENTED, *USEFUL])
def test_what_people_write_passes(text):
    assert recognise(text).text


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: ascii(entry["query"])[:50])
def test_hostile_queries_are_recognised_as_such(entry):
    if entry["expect"] == "refused":
        with pytest.raises(QueryRefused) as refused:
            recognise(entry["query"])
        assert refused.value.detail
        assert refused.value.hint
    else:
        recognise(entry["query"])


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("order filled", "* order filled"),
        ("  Filter", "* Filter"),
        ("order:1", "order:1"),
        ('"order"', '"order"'),
        ("a order", "a order"),
    ],
)
def test_a_first_word_that_names_a_pipe_is_searched_for(text, sent):
    """The store refuses `order filled`, which is what traders look for first."""
    assert recognise(text).text == sent


@pytest.mark.parametrize(
    ("text", "is_rows"),
    [
        ("*", True),
        ("* | fields _time | filter x:y", True),
        ("* | stats count() n", False),
        ("* | fields a | sort by (a)", False),
    ],
)
def test_rows_are_told_from_results(text, is_rows):
    assert recognise(text).is_rows is is_rows


@pytest.mark.parametrize(
    ("text", "detail", "hint"),
    [
        ("größe", "'ö' at character 3 stands outside of quotes", "into quotes"),
        ("a | join by (x) (*)", "the pipe 'join' is not allowed: it reads a second time", "use one of"),
        ("in(* | fields a)", "a pipe stands between brackets", "quotes"),
        ('"open', "has no end", "close the quote"),
        ("foo(bar)", "'foo' is not a function", "blank before the bracket"),
        ("a # b", "a comment begins at character 3", "remove it"),
        ("a and", "the query ends too early", "write what is missing"),
        ("x" * 5000, "the query has 5000 characters", "shorten it"),
        ("a\x00b", "a control character stands at character 2", "remove it"),
        ("options(concurrency=1) *", "options( is not allowed", '"options"'),
    ],
)
def test_a_refusal_says_where_and_what_to_do(text, detail, hint):
    with pytest.raises(QueryRefused) as refused:
        recognise(text)
    assert detail in refused.value.detail
    assert hint in refused.value.hint


FRAGMENTS = st.sampled_from(
    [
        "options(ignore_global_time_filter=true)", "optİons(", "|", "join", "union", "stream_context", "time_window 9y",
        "(", ")", "[", "]", "{", "}", "in(", "range(", "_time:", "if (", "filter", "fields a", "stats count() n", '"', "'", "`",
        "\\", "#", "\n", " ", ",", "*", ":", "=",
        "a", "_msg", "-", "!", "or", "by (", "\u00a0", "\u212a", '"x"', '"\\u0022"', "=~",
    ]
)  # fmt: skip
DANGEROUS = re.compile(r"\|\s*(join|union|stream_context|block_stats|blocks_count|stats_remote)\b", re.IGNORECASE)
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')


@given(st.lists(FRAGMENTS, min_size=1, max_size=14).map("".join) | st.text(max_size=60))
def test_nothing_that_passes_holds_a_way_out(text):
    try:
        query = recognise(text)
    except QueryRefused:
        return
    # A second reading, by other means: without quoted texts there is neither a forbidden word, nor a pipe between brackets.
    bare = QUOTED.sub(" Q ", query.text)
    assert bare.isascii()
    assert not DANGEROUS.search(bare)
    assert "#" not in bare
    assert "\\" not in bare
    assert not re.search(r"(^|[(|])\s*options\b", bare, re.IGNORECASE)
    depth = 0
    for sign in bare:
        depth += (sign in "([{") - (sign in ")]}")
        assert depth >= 0
        assert sign != "|" or depth == 0, text
    assert depth == 0
    assert set(query.pipes) <= language.PIPES


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=50))
def test_quoted_text_of_any_kind_is_found_as_it_is(text):
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert recognise(f"_msg:={quoted}").pipes == ()


@given(st.text(max_size=200))
def test_any_text_is_answered_and_a_refusal_has_a_hint(text):
    assert answer(text)


def answer(text):
    try:
        return recognise(text).text
    except QueryRefused as refused:
        return refused.detail and refused.hint
