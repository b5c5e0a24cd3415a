"""The pipeline for metrics in a real stack: what is scraped, every alert of the sources from its condition to a receiver, and
what happens when a part of it is away or is given a bad file."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import yaml

from crowsnest.metrics._tables import PLANES, TRADING, TRADING_OURS
from infra.catalogue import PROJECT_ROOT, catalogue
from scripts import rules
from tests import checkers
from tests.alert_sink import AlertSink
from tests.e2e.conftest import StackUnderTest
from tests.e2e.rehearsal import COMPONENT, CONDITIONS, TREE, Rehearsal, gateway, rehearsal
from tests.figures import figure

pytestmark = [pytest.mark.docker, pytest.mark.stack]

# Series of all of the demo's endpoints together, and of one of them: docs/figures.md holds the measured ones.
SERIES_BUDGET = 8_000
ENDPOINT_BUDGET = 1_500
QUERIES_OF_THE_SOURCE = {
    # S5-52, as they stand.
    "rate(data_ticks_received_total[1m])": "rate(data_ticks_received_total[1m])",
    "strategy_pnl_total_usd": "strategy_pnl_total_usd",
    'strategy_kill_switch_active{switch_type="pnl"}': 'strategy_kill_switch_active{switch_type="pnl"}',
    "rate(data_validation_errors_total[1m])": "rate(data_validation_errors_total[1m])",
    # S5-53, where `by` belongs to an aggregation, and 0.95 is not the average.
    "histogram_quantile(0.95, rate(orders_total_fill_latency_seconds_bucket[5m])) by (symbol)": (
        "histogram_quantile(0.95, sum by (le, symbol) (rate(orders_total_fill_latency_seconds_bucket[5m])))"
    ),
}


@pytest.fixture(scope="module")
def made(make_stack: Callable[..., StackUnderTest]) -> StackUnderTest:
    os.environ["CROWSNEST_CHECKERS"] = str(checkers.folder())
    tree = copy.deepcopy(TREE) | {"name_prefix": "cnmet-e2e", "port_offset": 33000, "publish": ["prometheus.http"]}
    return make_stack("cnmet-e2e", tree)


@pytest.fixture(scope="module")
def it(made: StackUnderTest, client: docker.DockerClient) -> Iterator[Rehearsal]:
    with rehearsal(made, client) as it:
        yield it


def names_of(it: Rehearsal) -> set[str]:
    return set(it.get("prometheus", "/api/v1/label/__name__/values")["data"])


def test_every_target_is_up_and_every_component_answers_its_probe(it: Rehearsal) -> None:
    up = {(series["metric"]["job"], series["metric"]["instance"]): series["value"][1] for series in it.query("up")}
    probed = {series["metric"]["component"]: series["value"][1] for series in it.query("probe_success")}

    assert set(up.values()) == {"1"}, up
    assert set(probed) == {component.name for component in it.settings.components} - {"blackbox-exporter"}
    assert set(probed.values()) == {"1"}, probed
    figure("targets up / targets", f"{len(up)} / {len(up)}")
    it.until(lambda: it.value("redis_up") == it.value("pg_up") == 1, "both databases are seen")


@pytest.mark.timeout(300)
def test_every_metric_of_the_sources_exists_with_its_labels(it: Rehearsal) -> None:
    """From the trader's own run: nothing here sets a value."""
    planes = [spec for table in PLANES.values() for spec in table]

    def missing() -> list[str]:
        lacking = []
        for spec in (*planes, *TRADING, *TRADING_OURS):
            name = f"{spec.name}_count" if spec.kind.value == "histogram" else spec.name
            series = it.query(f'{name}{{component="trader"}}')
            wanted = {label.name for label in spec.labels}
            if not any(wanted <= set(one["metric"]) for one in series):
                lacking.append(spec.name)
        return lacking

    it.until(lambda: not missing(), "every metric", seconds=240)
    assert (len(planes), len(TRADING)) == (37, 18)
    figure("metrics of the sources with their labels, from the trader's run", f"{len(planes)} + {len(TRADING) - 1} + info")


def test_what_the_trader_says_is_not_standing_still(it: Rehearsal) -> None:
    growing = ("data_bars_received_total", "orders_submitted_total", "orders_filled_total", "trading_trades_total")
    for name in growing:
        it.until(lambda name=name: it.value(f'sum(rate({name}{{component="trader"}}[1m]))') > 0, name)
    equity = 'trading_portfolio_equity_dollars{component="trader"}'
    it.until(lambda: it.value(f"changes({equity}[1m])") > 0, "equity changes")


@pytest.mark.parametrize(("source", "corrected"), QUERIES_OF_THE_SOURCE.items(), ids=range(len(QUERIES_OF_THE_SOURCE)))
def test_queries_of_the_source_answer(it: Rehearsal, source: str, corrected: str) -> None:
    it.until(lambda: bool(it.query(corrected)), corrected)
    if source != corrected:
        with pytest.raises(OSError, match="400"):
            it.query(source)


def test_recording_rules_see_both_vocabularies(it: Rehearsal) -> None:
    switches = {series["metric"]["switch_type"] for series in it.query("crowsnest:kill_switch_active")}
    assert {"pnl", "drawdown", "trading"} <= switches
    failed = [group["name"] for group in it.get("prometheus", "/api/v1/rules")["data"]["groups"] for rule in group["rules"]
              if rule["health"] != "ok"]  # fmt: skip
    assert not failed


@pytest.mark.parametrize(("moment", "expected"), [
    ("2026-11-26T15:00:00", 0),  # Thanksgiving
    ("2026-11-25T15:00:00", 1),
    ("2026-11-25T14:29:00", 0),  # 9:29 in New York, in winter
    ("2026-07-06T13:31:00", 1),  # 9:31 in New York, in summer
    ("2026-07-03T15:00:00", 0),  # Independence Day, observed
    ("2026-11-21T15:00:00", 0),  # a Saturday
    ("2026-10-30T13:45:00", 1),  # the last Friday of summer time
    ("2026-11-02T13:45:00", 0),  # the Monday after it ended
])  # fmt: skip
def test_the_calendar_knows_the_days_of_this_year(it: Rehearsal, moment: str, expected: int) -> None:
    recorded = {rule["record"]: rule["expr"] for rule in rules.calendar("us_equities")["groups"][0]["rules"]}
    expression = recorded["crowsnest:market_open"]
    for _ in range(3):
        for name, text in recorded.items():
            expression = expression.replace(name, f"({text})")
    # Without an argument, Prometheus' functions of time look at the time of the query.
    at = dt.datetime.fromisoformat(f"{moment}+00:00").timestamp()
    (series,) = it.query(expression, time=str(at))

    assert float(series["value"][1]) == expected


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", CONDITIONS)
def test_an_alert_goes_from_its_condition_to_a_receiver(it: Rehearsal, name: str) -> None:
    arrived, ended = it.make_happen(name)
    alert = it.receiver.alerts(name, "firing", **CONDITIONS[name].labels)[-1][1]
    severity = next(one.row["severity"] for one in rules.alerts() if one.name == name)

    assert alert["labels"]["severity"] == severity
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert "{{" not in alert["annotations"]["summary"] + alert["annotations"]["description"]
    resolved = "" if ended is None else f", resolved after {ended:.1f} s"
    figure(f"{name} ({CONDITIONS[name].source}), {severity}, webhook", f"fires after {arrived:.1f} s{resolved}")


def test_a_worse_alert_silences_the_milder_one(it: Rehearsal) -> None:
    it.receiver.messages.clear()
    it.make_happen("DrawdownBreaker")

    for milder in ("DrawdownWarning", "DrawdownCritical"):
        assert not it.receiver.alerts(milder, "firing", component=COMPONENT)


def test_the_heartbeat_comes_again_and_again(it: Rehearsal) -> None:
    before = len(it.receiver.alerts("Watchdog", "firing", path="/heartbeat"))
    it.until(lambda: len(it.receiver.alerts("Watchdog", "firing", path="/heartbeat")) >= before + 3, "three heartbeats")

    assert not it.receiver.alerts("Watchdog", "firing", path="/desk")


@pytest.mark.timeout(300)
def test_a_good_configuration_is_read_without_a_restart_and_without_losing_a_sample(
    made: StackUnderTest, it: Rehearsal
) -> None:
    started = it.container("prometheus").attrs["State"]["StartedAt"]
    begun = time.time()
    made.tree["pipelines"]["metrics"]["market_hours"] = "us_equities"
    made.configure()
    done = made.up()
    it.until(lambda: bool(it.query("crowsnest:market_holiday")), "the other calendar")
    time.sleep(5)

    changed = [change for change in done.document["changes"] if change["operation"] == "reloaded"]
    assert [change["resource"] for change in changed] == ["container prometheus"]
    it.container("prometheus").reload()
    assert it.container("prometheus").attrs["State"]["StartedAt"] == started
    seconds = int(time.time() - begun)
    samples = it.value(f'count_over_time(up{{job="prometheus"}}[{seconds}s])')
    expected = seconds / made.tree["pipelines"]["metrics"]["scrape_seconds"]
    figure("samples kept over a reload / expected", f"{samples:.0f} / {expected:.0f}")
    assert samples >= expected - 2


def test_a_bad_rule_is_refused_before_it_is_placed(made: StackUnderTest, it: Rehearsal) -> None:
    """By promtool, in the role: nothing changes."""
    placed = made.folder / "config" / made.settings.name_prefix / "prometheus"
    before = {path: path.read_bytes() for path in placed.rglob("*.yml")}
    made.tree["pipelines"]["metrics"]["targets"].append(
        {"job": "bad", "address": "a:1", "labels": {"not-a-name": "x"}}
    )  # fmt: skip
    made.write()
    try:
        with pytest.raises(AssertionError, match="failed to validate"):
            made.ansible("configure")
    finally:
        made.tree["pipelines"]["metrics"]["targets"].pop()
        made.write()

    assert {path: path.read_bytes() for path in placed.rglob("*.yml")} == before


@pytest.mark.timeout(300)
def test_a_bad_file_that_was_placed_by_hand_is_refused_by_prometheus_and_told_of(made: StackUnderTest, it: Rehearsal) -> None:
    file = made.folder / "config" / made.settings.name_prefix / "prometheus/prometheus.yml"
    good = file.read_text()
    begun = time.monotonic()
    file.write_text(good.replace("rule_files:", "rule_fils:"))
    try:
        refused = made.run("up", expect=1)
        arrived = it.receiver.wait("PrometheusConfigReloadFailed", "firing", since=begun)
        assert "prometheus refused its new configuration and goes on with the old one" in refused.err
        assert "rule_fils" in refused.err
        assert it.value("vector(1)") == 1
        figure("PrometheusConfigReloadFailed, from the bad file to the receiver", f"{arrived:.1f} s")
    finally:
        file.write_text(good)
    corrected = time.monotonic()
    made.up()
    it.receiver.wait("PrometheusConfigReloadFailed", "resolved", since=corrected, seconds=120)
    assert made.run("drift").document["result"] == "ok"


@pytest.mark.timeout(300)
def test_prometheus_that_was_away_comes_back_with_what_it_had(it: Rehearsal) -> None:
    before = it.value('count_over_time(up{job="redis"}[10m])')
    it.container("prometheus").kill()
    time.sleep(10)
    it.container("prometheus").start()
    back = it.until(lambda: it.value('up{job="redis"}') == 1, "Prometheus scrapes")

    assert it.value('count_over_time(up{job="redis"}[10m])') >= before
    figure("Prometheus killed, away for 10 s: scrapes again after its start", f"{back:.1f} s")


@pytest.mark.timeout(300)
def test_an_alert_that_began_while_alertmanager_was_away_is_delivered_once(it: Rehearsal) -> None:
    it.container("alertmanager").stop()
    it.receiver.messages.clear()
    it.process.trading.set_kill_switch(True)
    time.sleep(10)
    begun = time.monotonic()
    it.container("alertmanager").start()
    try:
        # Prometheus tells again after a minute what it could not tell.
        arrived = it.receiver.wait("KillSwitchActive", "firing", since=begun, seconds=120, component=COMPONENT)
        time.sleep(10)
        messages = it.receiver.alerts("KillSwitchActive", "firing", component=COMPONENT)
        assert len(messages) == 1
        figure("Alertmanager away during an alert: delivered after its return, messages", f"{arrived:.1f} s, {len(messages)}")
    finally:
        it.process.well()


@pytest.mark.timeout(300)
def test_a_heartbeat_that_stays_away_is_noticed_from_outside(made: StackUnderTest, it: Rehearsal, tmp_path: Path) -> None:
    """Time compressed: 8 s stand for the ten minutes, 2 s for the five between beats."""
    token, longest = "token-of-the-rehearsal", 8
    (tmp_path / "token").write_text(token)
    file = made.folder / "config" / made.settings.name_prefix / "alertmanager/receivers/heartbeat"
    before = file.read_text()
    with AlertSink() as sink:
        own = {"HEARTBEAT_TOKEN_FILE": str(tmp_path / "token"), "SLACK_WEBHOOK_URL": sink.slack_url}
        words = ["--host", gateway(it.client), "--port", "0", "--max-age-seconds", str(longest)]
        program = subprocess.Popen(
            [sys.executable, "-m", "crowsnest", "heartbeat", *words],
            env={**os.environ, "PYTHONPATH": "src", **own}, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert program.stderr
            found = re.search(r"http://\S+:\d+", program.stderr.readline())
            assert found
            file.write_text(f"{found[0]}/{token}")

            def heard() -> dict[str, float]:
                with urllib.request.urlopen(f"{found[0]}/health", timeout=5) as answer:
                    return dict(json.load(answer)["ages_seconds"])

            it.until(lambda: heard().get(made.settings.name_prefix, longest) < longest, "a heartbeat")
            time.sleep(longest)
            assert not sink.texts
            it.container("alertmanager").kill()
            begun = time.monotonic()
            sink.wait(1, 60)
            noticed = time.monotonic() - begun
            assert f"Heartbeat of {made.settings.name_prefix} is missing" in sink.texts[0]
            it.container("alertmanager").start()
            sink.wait(2, 90)
            assert "is back" in sink.texts[1]
            figure(f"heartbeat missing, noticed from outside (bound {longest} s, time compressed)", f"{noticed:.1f} s")
        finally:
            file.write_text(before)
            program.terminate()
            program.wait(15)
            program.stderr.close()


def test_the_database_role_of_the_exporter_reads_statistics_only(it: Rehearsal) -> None:
    statement = (
        "SELECT rolsuper, rolcreaterole, pg_has_role(rolname, 'pg_monitor', 'MEMBER') FROM pg_roles "
        "WHERE rolname = 'crowsnest_monitor'"
    )
    psql = f'psql -X -At -h 127.0.0.1 -U crowsnest -d crowsnest -c "{statement}"'
    ask = ["sh", "-c", f"PGPASSWORD=$(cat /run/secrets/postgresql_password) {psql}"]
    code, out = it.container("postgresql").exec_run(ask)

    assert (code, out.decode().strip()) == (0, "f|f|t")


def test_the_admin_api_is_not_on_a_published_port(it: Rehearsal) -> None:
    with pytest.raises(OSError, match=r"40[0-9]|unavailable"):
        it.get("prometheus", "/api/v1/admin/tsdb/snapshot")
    command = it.container("prometheus").attrs["Args"]
    assert not any("admin-api" in word for word in command)


def test_series_and_cost_stay_within_their_budget(it: Rehearsal) -> None:
    it.until(lambda: bool(it.query("prometheus_tsdb_head_series")), "its own metrics")
    ours = sum(float(series["value"][1]) for series in it.query('scrape_samples_post_metric_relabeling{component="trader"}'))
    every = it.value("sum(scrape_samples_post_metric_relabeling)")
    largest = max(float(series["value"][1]) for series in it.query('scrape_samples_post_metric_relabeling{plane!=""}'))
    slowest = max(float(series["value"][1]) for series in it.query("scrape_duration_seconds"))
    trader = max(float(series["value"][1]) for series in it.query('scrape_duration_seconds{plane!=""}'))
    figure("series scraped, of them the trader's, largest endpoint", f"{every:.0f}, {ours:.0f}, {largest:.0f}")
    figure("longest scrape, longest of the trader", f"{1000 * slowest:.0f} ms, {1000 * trader:.0f} ms")
    for name in ("prometheus", "alertmanager", "node-exporter", "redis-exporter", "postgres-exporter", "blackbox-exporter"):
        used = it.value(f'process_resident_memory_bytes{{component="{name}"}}')
        cpu = it.value(f'rate(process_cpu_seconds_total{{component="{name}"}}[2m])')
        figure(f"{name}: resident memory, share of a processor", f"{used / 2**20:.0f} MiB, {100 * cpu:.1f} %")
        assert used < catalogue()[name].limits.memory_mb * 2**20
    samples = it.value("prometheus_tsdb_head_samples_appended_total{type='float'}")
    figure("write-ahead log, bytes a sample", f"{it.value('prometheus_tsdb_wal_storage_size_bytes') / samples:.2f}")

    assert every < SERIES_BUDGET
    assert largest < ENDPOINT_BUDGET


def test_no_secret_of_the_exporters_is_in_a_declaration_or_a_log(made: StackUnderTest, it: Rehearsal) -> None:
    for name in ("redis_exporter_password", "postgres_exporter_password"):
        secret = made.secret(name).read_text()
        assert re.fullmatch(r"[\w-]{43}", secret)
        assert not any(secret in said for said in made.said)
        for component in it.settings.components:
            container = it.container(component.name)
            assert secret not in yaml.safe_dump(container.attrs)
            assert secret.encode() not in container.logs(tail=500)
