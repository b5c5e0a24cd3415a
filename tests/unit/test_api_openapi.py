"""The committed description of the API is the one that the code makes, and says of every operation what can go wrong."""

from __future__ import annotations

import json

import pytest

from crowsnest.api.__main__ import main
from crowsnest.api.app import create_app, schema
from crowsnest.api.problems import MEDIA_TYPE, TEMPLATES
from crowsnest.api.settings import ApiSettings, SettingsError
from infra.catalogue import PROJECT_ROOT, catalogue

COMMITTED = PROJECT_ROOT / "src/crowsnest/api/openapi.json"
MADE = schema(create_app(ApiSettings()))
OPERATIONS = [(method, path, operation) for path, methods in MADE["paths"].items() for method, operation in methods.items()]


def test_the_committed_description_is_current():
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == MADE, "run `make docs`"


def test_the_command_writes_it(tmp_path, capsys):
    assert main(["openapi", "--output", str(tmp_path / "made.json")]) == 0
    assert (tmp_path / "made.json").read_text() == COMMITTED.read_text()


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda value: str(value)[:40])
def test_every_operation_is_described_with_its_problems(method, path, operation):
    assert operation["summary"]
    assert operation["description"]
    assert "422" not in operation["responses"], "FastAPI's own shape of errors is not what is answered"
    protected = path not in ("/api/health", "/api/openapi.json", "/api/logs/health", "/api/auth/login")
    assert ("401" in operation["responses"]) >= protected
    for status, answer in operation["responses"].items():
        if int(status) >= 400 and path != "/api/logs/health":
            assert list(answer["content"]) == [MEDIA_TYPE]


def test_names_of_operations_are_unique_and_short():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert "logs_query" in names


def test_every_problem_says_what_to_do():
    for template in TEMPLATES.values():
        assert template.hint
        assert 400 <= template.status < 600


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"CROWSNEST_API_PROT": "1"}, "unknown variable CROWSNEST_API_PROT; known are"),
        ({"CROWSNEST_API_PORT": "x"}, "must be a port number"),
        ({"CROWSNEST_API_PORT": "70000"}, "must be a port number"),
        ({"VICTORIALOGS_URL": "victorialogs"}, "must look like http://host:port"),
        ({"CROWSNEST_API_TRUSTED_PROXIES": "gateway"}, "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_a_wrong_setting_is_named(environment, text):
    with pytest.raises(SettingsError, match=text):
        ApiSettings.from_environment(environment)


def test_help_is_complete(capsys):
    for command in (
        [],
        ["users"],
        ["users", "add"],
        ["tokens"],
        ["tokens", "add"],
        ["audit"],
        ["audit", "verify"],
        ["openapi"],
    ):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0
    assert "CROWSNEST_API_DATABASE" in capsys.readouterr().out


def test_the_image_installs_what_the_tests_run_with():
    """Two requirement files, one set of pins."""

    def pins(path: str) -> set[str]:
        return {line.strip() for line in (PROJECT_ROOT / path).read_text().splitlines() if "==" in line and line[0] != "#"}

    assert pins("supply/images/api/requirements.in") <= pins("requirements.in")


def test_the_container_s_settings_are_ones_the_program_knows():
    component = catalogue()["api"]
    assert component.probe.http
    assert component.probe.http.path in MADE["paths"]
    assert component.data
