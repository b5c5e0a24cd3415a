"""`make dashboards-check` tells what is missing; the stores are stand-ins here, tests/e2e/test_dashboards.py asks real ones."""

from __future__ import annotations

from typing import Any

import pytest

from infra import grafana
from infra.settings import Settings, parse
from scripts import dashboards_check as check
from scripts import grafana_macros as macros
from scripts.dashboards_check import Answer, StoreError

EVERY_METRIC = {
    name
    for path in grafana.DASHBOARDS.glob("*.json")
    for panel in macros.panels(macros.load(path.read_text(encoding="utf-8")))
    for target in panel["targets"]
    if "expr" in target
    for name in macros.metrics(target["expr"])
}


class WellStores(check.Stores):
    """Stores that have everything but what a test takes from them."""

    lacking: set[str] = set()
    silent: set[str] = set()
    refusing: set[str] = set()

    def metric_names(self, store: str) -> set[str]:
        return EVERY_METRIC - self.lacking

    def values(self, variable: Any, span: macros.Span) -> list[str]:
        return ["one", "other"]

    def ask(self, question: macros.Question) -> Answer:
        if question.store in self.refusing:
            raise StoreError("400: parse error")
        return Answer(rows=0 if question.store in self.silent else 1)


@pytest.fixture
def settings() -> Settings:
    pipelines = dict.fromkeys(("logs", "trading", "viewer", "metrics", "gateway", "log_metrics", "ticks"))
    return parse("everything", {"pipelines": pipelines})


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> type[WellStores]:
    made = type("Stores", (WellStores,), {})
    monkeypatch.setattr(check, "Stores", made)
    return made


def states(settings: Settings) -> tuple[check.Check, dict[str, set[str]], str]:
    said: list[str] = []
    done = check.run(settings, None, say=said.append)  # type: ignore[arg-type]
    found: dict[str, set[str]] = {}
    for one in done.findings:
        found.setdefault(one.state, set()).add(f"{one.dashboard}: {one.panel}")
    return done, found, "\n".join(said)


def test_a_stack_with_everything_has_data_in_every_panel(settings: Settings, stores: type[WellStores]) -> None:
    done, found, text = states(settings)
    assert set(found) == {"data"}
    assert done.count("data") == done.asked > 200
    assert f"{done.asked} of {done.asked} panels have data" in text


def test_a_renamed_metric_is_named(settings: Settings, stores: type[WellStores]) -> None:
    """Also where a fallback would hide it."""
    stores.lacking = {"trading_vix", "crowsnest:orders_rejected:rate5m"}
    _, found, text = states(settings)
    assert found["empty"] == {"crowsnest-risk: VIX", "crowsnest-orders: Rejected by the broker"}
    assert "nobody makes trading_vix" in text


def test_what_jobs_write_later_is_not_held_against_the_stack(settings: Settings, stores: type[WellStores]) -> None:
    stores.lacking = set(check.LATER)
    done, found, text = states(settings)
    assert {name.split(":")[0] for name in found["later"]} == {"crowsnest-backup"}
    assert done.count("data") == done.asked
    assert "a backup writes it" in text


def test_an_empty_answer_is_no_data(settings: Settings, stores: type[WellStores]) -> None:
    stores.silent = {"questdb"}
    _, found, _ = states(settings)
    assert {name.split(":")[0] for name in found["empty"]} == {"crowsnest-ticks"}


def test_a_refused_question_is_told_in_the_store_s_words(settings: Settings, stores: type[WellStores]) -> None:
    stores.refusing = {"loki"}
    _, found, text = states(settings)
    assert {name.split(":")[0] for name in found["failed"]} == {"crowsnest-logs"}
    assert "400: parse error" in text


def test_a_dashboard_whose_store_is_not_there_is_left_out_and_named(stores: type[WellStores]) -> None:
    few = parse("few", {"pipelines": {"logs": None, "metrics": None}})
    _, _, text = states(few)
    assert "Price (crowsnest-ticks): left out, the stack has no questdb" in text


def test_values_that_are_no_numbers_are_no_data() -> None:
    assert not Answer({"a": [float("nan")]}).has_data
    assert Answer({"a": [float("nan"), 0.0]}).has_data


def test_metrics_that_may_be_absent_are_those_of_some_question() -> None:
    assert set(check.LATER) | set(check.ELSEWHERE) <= EVERY_METRIC
