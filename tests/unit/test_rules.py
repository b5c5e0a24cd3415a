"""The rules are what their tables say, every alert is tested at its bound, and every bound matters."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from crowsnest.alerts.thresholds import THRESHOLDS
from crowsnest.metrics._tables import PLANES, TRADING, TRADING_OURS
from crowsnest.ticks.metrics import Metrics
from scripts import rules
from scripts.rules import Alert, Bound
from tests import checkers
from tests.e2e.rehearsal import CONDITIONS
from tests.figures import figure

ALERTS = rules.alerts()
NAMES = [alert.name for alert in ALERTS]
per_alert = pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
# Metrics of components, and of jobs of later stages (backup, drift, reconciliation); each of them says what it exposes.
FOREIGN = re.compile(
    r"(?:alertmanager|container|crowsnest|loki|node|pg|probe|prometheus|redis|scrape|trading_dependency|vl)_\w+|up"
)


def promtool(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return checkers.run("promtool", *arguments, cwd=folder)


def test_files_are_what_the_tables_say():
    differing = [path for path, text in rules.files().items() if not path.exists() or path.read_text() != text]

    assert not differing, "run `make docs`"


def test_no_page_or_test_belongs_to_no_alert():
    assert {path.stem for path in rules.RUNBOOKS.glob("*.md")} == {*NAMES, "README"}
    assert set((rules.RULES / "tests").glob("*s.test.yml")) <= set(rules.files())


def test_every_rule_file_is_valid():
    files = sorted((rules.RULES / "prometheus").glob("*.yml"))
    checked = promtool("check", "rules", *files, folder=rules.RULES)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_fires_at_its_bound_and_not_before_and_resolves():
    files = sorted((rules.RULES / "tests").glob("*.test.yml"))
    tested = set(NAMES) & {test["name"] for path in files for test in yaml.safe_load(path.read_text())["tests"]}
    run = promtool("test", "rules", *files, folder=rules.RULES / "tests")

    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    assert tested == set(NAMES)
    figure("alerts with tests / alerts", f"{len(tested)} / {len(NAMES)} = {len(tested) / len(NAMES):.0%}")


def needed(expression: str) -> dict[str, str]:
    """The recording rules that an expression uses, the innermost first."""
    found: dict[str, str] = {}
    every = {**rules.recording(), "crowsnest:market_open": "vector(1)"}
    for name in re.findall(r"crowsnest:[a-z0-9_:]+", expression):
        found |= needed(every[name]) | {name: every[name]}
    return found


def mutants(alert: Alert) -> Iterator[tuple[str, str]]:
    """A name and an expression for every bound moved by a tenth up and down."""
    for name, bound in alert.bounds.items():
        chosen = [Bound.parse(text) for text in alert.row["test"].get("mutants", {}).get(name, [])]
        for mutant in chosen or bound.mutants():
            yield f"{alert.name}: {name} {bound} -> {mutant}", alert.expression(**{name: mutant})


def mutation(alert: Alert, name: str, expression: str) -> tuple[dict, dict]:
    """A rule file with the mutant alone, and the alert's own test on it."""
    group = {
        "name": "mutant",
        "rules": [{"record": record, "expr": text} for record, text in needed(expression).items()]
        + [{**alert.rule(), "expr": expression}],
    }
    test = {
        "rule_files": [],
        "evaluation_interval": f"{rules.step_seconds(alert)}s",
        "tests": [{**test, "name": name} for test in rules.promtool_tests(alert)],
    }
    return {"groups": [group]}, test


def test_a_bound_moved_by_a_tenth_fails_the_alerts_test(tmp_path):
    every = [(alert, name, expression) for alert in ALERTS for name, expression in mutants(alert)]
    files = []
    for number, (alert, name, expression) in enumerate(every):
        rule, test = mutation(alert, name, expression)
        (tmp_path / f"{number}.rules.yml").write_text(yaml.safe_dump(rule))
        files.append(tmp_path / f"{number}.test.yml")
        files[-1].write_text(yaml.safe_dump({**test, "rule_files": [f"{number}.rules.yml"]}))
    run = promtool("test", "rules", *files, folder=tmp_path)
    results = re.split(r"^Unit Testing:  ", run.stdout + run.stderr, flags=re.MULTILINE)[1:]
    survivors = [every[number][1] for number, result in enumerate(results) if "SUCCESS" in result.splitlines()[1]]

    assert len(results) == len(every)
    figure("bounds moved by a tenth, seen by a test", f"{len(every) - len(survivors)} / {len(every)}")
    assert not survivors


@per_alert
def test_alert_says_what_a_person_needs(alert):
    assert set(alert.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert alert.row["severity"] in ("critical", "warning", "none")
    assert alert.row["summary"]
    assert alert.row["description"]
    assert len(alert.row["meaning"]) >= 20
    assert alert.row["steps"]
    assert (rules.ROOT / alert.annotations["runbook_url"]).is_file()
    assert re.fullmatch(r"/d/crowsnest-[a-z]+", alert.annotations["dashboard_url"])


def spelled_out(matcher: str) -> str:
    """The names that a matcher on `__name__` chooses."""
    pattern = re.compile(matcher.split('"')[1])
    names = [spec.name for table in (TRADING, TRADING_OURS, *PLANES.values()) for spec in table]
    names += ["crowsnest_metrics_folded_labels_total", "crowsnest_metrics_capped_series_total"]
    found = [name for name in names if pattern.fullmatch(name)]
    assert found, f"{matcher} chooses nothing"
    return " ".join(found)


@per_alert
def test_alert_looks_at_metrics_that_exist(alert):
    declared = {spec.name for table in (TRADING, TRADING_OURS, *PLANES.values()) for spec in table}
    declared |= {sample.name for metric in Metrics().registry.collect() for sample in metric.samples}
    text = " ".join([alert.expression(), *needed(alert.expression()).values()])
    text = re.sub(r'__name__=~"[^"]*"', lambda found: spelled_out(found[0]), text)
    text = re.sub(r'"[^"]*"', "", text)  # label values
    prefixes = "trading|data|orders|strategy|crowsnest|vl|pg|redis|node|prometheus|container|ticks"
    used = set(re.findall(rf"(?<![\w:])(?:{prefixes})_\w+", text))

    for name in used:
        stem = re.sub(r"_(bucket|sum|count)$", "", name)
        assert {name, stem} & declared or FOREIGN.fullmatch(name), f"{alert.name}: no source declares {name}"


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_every_threshold_of_the_library_has_its_alert():
    """The process's own monitor and Prometheus agree, because there is one table."""
    used = {alert.row["library"] for alert in ALERTS if "library" in alert.row}

    assert used == {f"{row.name}.{level.name.lower()}" for row in THRESHOLDS for level in row.bounds}


def test_every_alert_of_the_sources_is_made_to_happen_end_to_end():
    """By tests/e2e and by `make drill`; the budgets of series (S5-62) are held by a test of their own."""
    of_sources = {alert.name for alert in ALERTS if re.match(r"S[35]-", alert.row["source"]) and alert.row["source"] != "S5-62"}

    assert of_sources <= set(CONDITIONS) <= set(NAMES)


def test_the_sources_rules_are_there_to_the_letter():
    tree = yaml.safe_load((rules.RULES / "prometheus/trading_alerts.rules.yml").read_text())
    (group,) = tree["groups"]
    by_name = {rule["alert"]: rule for rule in group["rules"]}

    assert (group["name"], group["interval"]) == ("trading_alerts", "30s")
    error, switch = by_name["HighErrorRate"], by_name["KillSwitchTriggered"]
    assert (error["expr"], error["for"]) == ("rate(data_validation_errors_total[5m]) > 10", "5m")
    assert (error["labels"]["severity"], error["annotations"]["summary"]) == ("warning", "High validation error rate")
    assert (switch["expr"], switch["for"]) == ("strategy_kill_switch_active > 0", "1m")
    assert switch["labels"]["severity"] == "critical"
    assert switch["annotations"]["summary"] == "Kill switch triggered: {{ $labels.switch_type }}"


@pytest.mark.parametrize("text", ["10", "> ten", ">10", "> 10 %", ""])
def test_a_bad_bound_is_refused(text):
    with pytest.raises(ValueError, match="is no bound, such as"):
        Bound.parse(text)


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("0s", 0), ("2d", 172800)])
def test_durations_are_read(text, expected):
    assert rules.seconds(text) == expected
