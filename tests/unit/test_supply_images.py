"""Which image is chosen, for each supply and each thing that can be on the machine. Docker is a stand-in here."""

from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from infra.catalogue import catalogue
from infra.settings import Supply
from supply import build, images, registry
from supply.cache import Cache
from supply.errors import SupplyError
from supply.lock import Lock

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


class Response:
    def __init__(self, status: int) -> None:
        self.status_code = status


class FakeDocker:
    """The parts of Docker's client that the supply uses."""

    def __init__(self, *, local: dict[str, list[str]] | None = None, registry_says: str | Exception = DIGEST) -> None:
        self.local = local or {}
        self.registry_says = registry_says
        self.asked: list[str] = []
        self.pulled: list[str] = []
        self.images = self
        self.api = SimpleNamespace(timeout=60, pull=self._pull)

    def get(self, reference: str) -> Any:
        if reference not in self.local:
            raise docker.errors.ImageNotFound(reference)
        attributes = {"RepoDigests": self.local[reference], "Size": 5_000_000}
        return SimpleNamespace(attrs=attributes, tag=lambda image, tag: self.local.update({f"{image}:{tag}": []}))

    def get_registry_data(self, reference: str) -> Any:
        self.asked.append(reference)
        if isinstance(self.registry_says, Exception):
            raise self.registry_says
        return SimpleNamespace(id=self.registry_says)

    def _pull(self, image: str, tag: str, **options: Any) -> list[dict[str, str]]:
        self.pulled.append(f"{image}@{tag}")
        self.local[f"{image}@{tag}"] = [f"{image}@{tag}"]
        return [{"status": "Pull complete", "id": "layer"}]


REDIS = catalogue()["redis"]
TRADER = catalogue()["trader"]
assert REDIS.upstream is not None
TAG = REDIS.upstream.reference
BUILT = images.packages_reference(REDIS)
UNREACHABLE = docker.errors.APIError("500", response=Response(500), explanation="no such host")
MISSING = docker.errors.NotFound("404", response=Response(404), explanation="manifest unknown")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    registry.forget()
    monkeypatch.setattr("supply.lock.read", lambda path=None: Lock({}))
    monkeypatch.setattr("supply.cache.default", lambda: Cache(tmp_path))


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supply.lock.read", lambda path=None: Lock({"redis": {TAG: DIGEST}}))


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    built: list[str] = []

    def fake(component: Any, steps: Any, reference: str, client: FakeDocker, cache: Any, say: Any) -> None:
        built.append(reference)
        client.local[reference] = []

    monkeypatch.setattr(build, "build", fake)
    return built


HUB_NAME = f"redis@{DIGEST}"


@pytest.mark.parametrize(
    ("supply", "local", "expected"),
    [
        ("auto", {}, (TAG, "upstream")),
        ("auto", {BUILT: []}, (BUILT, "packages")),
        ("auto", {TAG: [HUB_NAME]}, (f"{TAG}@{DIGEST}", "upstream")),
        ("auto", {BUILT: [], TAG: [HUB_NAME]}, (BUILT, "packages")),
        ("upstream", {BUILT: []}, (TAG, "upstream")),
        ("upstream", {TAG: [HUB_NAME]}, (f"{TAG}@{DIGEST}", "upstream")),
        ("upstream", {TAG: [f"elsewhere/redis@{OTHER}"]}, (TAG, "upstream")),
        ("packages", {TAG: [HUB_NAME]}, (BUILT, "packages")),
        ("packages", {BUILT: []}, (BUILT, "packages")),
    ],
)
def test_plan(supply: Supply, local: dict[str, list[str]], expected: tuple[str, str]) -> None:
    client = FakeDocker(local=local)
    chosen = images.plan(REDIS, supply, client)
    assert (chosen.reference, chosen.supply) == expected
    assert chosen.why
    assert (client.asked, client.pulled) == ([], [])


def test_plan_names_the_locked_digest(locked: None) -> None:
    assert images.plan(REDIS, "auto", FakeDocker()).reference == f"{TAG}@{DIGEST}"


@pytest.mark.parametrize("supply", ["auto", "upstream", "packages"])
def test_own_component_is_always_built(supply: Supply, builds: list[str]) -> None:
    client = FakeDocker()
    assert images.plan(TRADER, supply, client).supply == "packages"
    assert images.ensure(TRADER, supply, client, print).reference == builds[0]
    assert client.asked == []


@pytest.mark.parametrize("supply", ["auto", "upstream"])
def test_unlocked_pull_is_pinned_and_says_so(supply: Supply) -> None:
    lines: list[str] = []
    client = FakeDocker()
    chosen = images.ensure(REDIS, supply, client, lines.append)
    assert chosen.reference == f"{TAG}@{DIGEST}"
    assert client.asked == [TAG]
    assert f"not in catalogue.lock: pinned for this machine to {DIGEST}; run `make lock`" in "\n".join(lines)


def test_locked_pull_asks_for_the_digest(locked: None) -> None:
    client = FakeDocker()
    assert images.ensure(REDIS, "upstream", client, print).why == "pulled, digest as in catalogue.lock"
    assert client.asked == [f"docker.io/library/redis@{DIGEST}"]
    assert images.ensure(REDIS, "upstream", FakeDocker(local={f"{TAG}@{DIGEST}": []}), print).supply == "upstream"


def test_auto_builds_when_the_registry_cannot_be_reached(builds: list[str]) -> None:
    lines: list[str] = []
    client = FakeDocker(registry_says=UNREACHABLE)
    assert images.ensure(REDIS, "auto", client, lines.append).reference == BUILT == builds[0]
    assert "cannot be reached" in lines[0]
    assert "building it instead" in lines[0]


def test_upstream_fails_with_one_line_that_says_what_to_do() -> None:
    with pytest.raises(SupplyError, match="choose `supply: auto` or `packages`") as caught:
        images.ensure(REDIS, "upstream", FakeDocker(registry_says=UNREACHABLE), print)
    assert "\n" not in str(caught.value)


def test_unreachable_registry_is_asked_once() -> None:
    client = FakeDocker(registry_says=UNREACHABLE)
    for name in ("redis", "postgresql", "victorialogs"):
        with pytest.raises(SupplyError):
            images.ensure(catalogue()[name], "upstream", client, print)
    assert len(client.asked) == 1
    assert client.api.timeout == 60


def test_missing_tag_is_named_and_does_not_block_the_registry() -> None:
    client = FakeDocker(registry_says=MISSING)
    with pytest.raises(SupplyError, match=f"{TAG} does not exist"):
        images.ensure(REDIS, "upstream", client, print)
    client.registry_says = DIGEST
    assert images.ensure(REDIS, "upstream", client, print).supply == "upstream"


def test_packages_never_asks_a_registry(builds: list[str]) -> None:
    client = FakeDocker()
    assert images.ensure(REDIS, "packages", client, print).reference == BUILT
    assert images.ensure(REDIS, "packages", client, print).reference == BUILT
    assert (len(builds), client.asked) == (1, [])


def test_broken_download_is_reported() -> None:
    client = FakeDocker()
    client.api.pull = lambda *words, **options: [{"error": "no space left on device"}]
    with pytest.raises(SupplyError, match="cannot be pulled: no space left on device"):
        images.ensure(REDIS, "upstream", client, print)


@pytest.mark.parametrize("supply", ["auto", "packages"])
def test_who_runs_anothers_image_gets_exactly_that(supply: Supply, builds: list[str]) -> None:
    lender, borrower = catalogue()["alloy"], catalogue()["alloy-trader"]
    client = FakeDocker(registry_says=UNREACHABLE)
    assert images.present(borrower, supply, client) is None
    chosen = images.ensure(borrower, supply, client, print)
    assert (chosen.component, chosen.reference) == ("alloy-trader", images.packages_reference(lender))
    assert images.plan(borrower, supply, client).reference == images.ensure(lender, supply, client, print).reference
    assert images.present(borrower, supply, client).component == "alloy-trader"
    assert builds == [chosen.reference]
