"""Every test that needs containers belongs to one suite, and what is named is there."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from infra import settings
from tests import suites


def test_every_file_belongs_to_one_suite():
    folders = ("browser", "contract", "e2e")
    files = {
        str(path.relative_to(suites.ROOT)) for name in folders for path in (suites.ROOT / "tests" / name).glob("test_*.py")
    }
    named = Counter(file for suite in suites.SUITES for file in suites.files_of(suite))
    assert named == Counter(files)


def test_a_suite_depends_on_its_own_tests_and_on_no_other_suites():
    inputs = suites.inputs_of("api")
    shared = {"tests/e2e/api_support.py", "src/crowsnest/settings.py", "catalogue.yml", "supply/images/api/recipe.yml"}
    assert {"tests/e2e/test_api_logs.py", *shared} <= set(inputs)
    assert not {"tests/e2e/test_ticks.py", "tests/browser/test_viewer.py", "infra/stores.py"} & set(inputs)
    assert "infra/stores.py" in suites.inputs_of("operations")


def test_what_only_some_suites_run_is_run_by_suites_that_exist():
    assert {suite for some in suites.ONLY.values() for suite in some} <= set(suites.SUITES)


@pytest.mark.parametrize("pipeline", ["ticks", "log_metrics"])
def test_a_pipeline_of_some_suites_is_in_no_other_suites_stack(pipeline: str):
    """As their tests write it into a stack's settings; `contract` builds its images, and `platform` deploys `demo` only."""
    users = {
        suite
        for suite in suites.SUITES
        for file in suites.files_of(suite)
        if re.search(rf'"{pipeline}": (None|\{{)', (suites.ROOT / file).read_text())
    }
    assert users == set(suites.ONLY[f"infra/pipelines/{pipeline}.py"])
    assert getattr(settings.read("demo").pipelines, pipeline) is None


@pytest.mark.parametrize(
    "pattern", [*suites.INPUTS, *suites.ONLY, *(one for patterns in suites.SUITES.values() for one in patterns)]
)
def test_what_is_named_is_there(pattern: str):
    assert list(suites.ROOT.glob(pattern))


def test_an_unknown_suite_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        suites.main(["no-such-suite"])
    assert "there is no suite no-such-suite; choose from contract, logs," in capsys.readouterr().err


def test_every_suite_runs_and_one_failure_fails_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(suites, "run", lambda suite: int(suite == "logs"))
    assert suites.main(["logs", "api"]) == 1
    assert "logs         FAILED (1)" in capsys.readouterr().out
    assert suites.main(["api"]) == 0
