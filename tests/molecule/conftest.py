"""Order of the tests that hold for every role: what undoes the role comes last of all."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "unharden" in item.name)
