"""`up` tells the truth: a component that never becomes healthy fails it, again and again, until it is mended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]


@pytest.fixture(scope="module")
def broken(make_stack: Callable[..., StackUnderTest]) -> StackUnderTest:
    stack = make_stack(
        "broken",
        {
            "name_prefix": "crowsnest-broken",
            "port_offset": 21000,
            "health_timeout_seconds": 1,
            "pipelines": {"trading": {"components": ["redis"]}},
        },
    )
    stack.configure()
    return stack


def test_a_component_that_never_gets_healthy_fails_every_up(broken: StackUnderTest):
    config = broken.folder / "config" / "crowsnest-broken" / "redis" / "redis.conf"
    good = config.read_text()
    config.write_text(good + "\nno-such-directive yes\n")
    for _ in range(2):
        failed = broken.run("up", expect=1)
        assert failed.document["result"] == "failed"
        assert "redis is" in failed.err
        assert "no-such-directive" in failed.err, "its last log lines have to be shown"
    config.write_text(good)
    broken.up()
    assert broken.run("status").document["components"][0]["state"] == "healthy"
    broken.run("down")
