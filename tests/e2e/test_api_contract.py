"""Schemathesis against the running API and a real VictoriaLogs: whatever is sent, answers are as described."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from crowsnest.api.app import create_app
from crowsnest.api.app import schema as make_schema
from crowsnest.api.settings import ApiSettings
from tests.e2e.api_support import Api, Store, running_api, running_store, said, wait_until
from tests.postgres import Postgres, running_postgres

pytestmark = pytest.mark.docker
DOCUMENT = make_schema(create_app(ApiSettings()))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
EXAMPLES = int(os.environ.get("CROWSNEST_API_EXAMPLES", "25"))
# A tail does not end, and signing out would end the session that the others need.
LEFT_OUT = {"/api/logs/tail", "/api/auth/logout", "/api/auth/login"}
# There is no way to Docker here, which the answer (501) says; test_api_services.py has one.
WITHOUT_DOCKER = "/api/services"
# These ask for one thing by its name, which is made up; what they answer where it exists is in the tests of each domain.
BY_NAME = {
    "GET /api/logs/context", "DELETE /api/auth/tokens/{token_id}", "DELETE /api/views/{name}",
    "PUT /api/budgets/{strategy_id}", "POST /api/budgets/raises/{request_id}/confirm",
    "POST /api/budgets/raises/{request_id}/reject", "GET /api/trading/orders/{run_id}/{client_order_id}",
}  # fmt: skip
SEEN: Counter[tuple[str, bool]] = Counter()
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        store.insert([said("alpha", f"record {index}", index) for index in range(50)])
        yield store


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres


@pytest.fixture(scope="module")
def api(store: Store, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = {
        "CROWSNEST_API_POSTGRESQL_URL": postgres.url,
        "CROWSNEST_API_POSTGRESQL_PASSWORD_FILE": str(postgres.password_file),
    }
    with running_api(tmp_path_factory.mktemp("api"), store.url, **settings) as api:
        wait_until(lambda: postgres.rows("SELECT to_regclass('trading.budgets')")[0][0], 120)
        yield api


@pytest.fixture(scope="module")
def token(api: Api) -> str:
    return api.cli("tokens", "add", "schemathesis", "--role", "operator").strip()


@SCHEMA.exclude(path_regex="^(" + "|".join(LEFT_OUT) + ")$").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(case: schemathesis.Case, api: Api, token: str):
    absent = case.operation.path.startswith(WITHOUT_DOCKER)
    # 503 and 504 are described, and would hide that nothing was tried.
    response = case.call(base_url=api.url, headers={**(case.headers or {}), "Authorization": f"Bearer {token}"}, timeout=30)
    assert response.status_code not in (503, 504)
    case.validate_response(response, checks=CHECKS[1:] if absent and response.status_code == 501 else CHECKS)
    SEEN[case.operation.label, response.status_code < 300] += 1


def test_most_operations_were_answered_and_refused():
    """Otherwise the checks above have seen one side only."""
    labels = {label for label, _ in SEEN}
    assert len(labels) >= 28
    answered = {label for label in labels if SEEN[label, True]}
    assert labels - answered <= BY_NAME | {label for label in labels if WITHOUT_DOCKER in label}
    assert len({label for label in labels if SEEN[label, False]}) >= 10
