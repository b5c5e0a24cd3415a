"""Order of the tests that hold for every role: what undoes the role comes after its tests, what hardens again at the end."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [name in item.name for name in ("undone", "unharden")])
