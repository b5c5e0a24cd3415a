"""A store never changes to a version that may not read its data without being told."""

from __future__ import annotations

import pytest

from infra import settings as stack_settings
from infra.catalogue import Paths, catalogue
from infra.errors import Refused
from infra.supplies import SupplyRecord
from supply.images import Image

POSTGRESQL, EXPORTER = catalogue()["postgresql"], catalogue()["redis-exporter"]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    folders = Paths.model_construct(config=tmp_path, data=tmp_path, state=tmp_path, cache=tmp_path)
    monkeypatch.setattr(stack_settings.Settings, "folders", folders)
    return stack_settings.read("prod")


def deployed(settings, supply="packages"):
    images = [Image(name, f"{name}:1", supply, "test") for name in ("postgresql", "redis-exporter")]
    SupplyRecord(settings).keep([POSTGRESQL, EXPORTER], images)


def with_supply(settings, supply):
    return SupplyRecord(settings.model_copy(update={"supply": supply}))


def test_without_data_the_stacks_choice_counts(settings):
    for supply in ("auto", "upstream", "packages"):
        assert with_supply(settings, supply).choose(POSTGRESQL) == supply


def test_auto_keeps_what_the_data_began_with(settings):
    deployed(settings)
    deployed(settings, "upstream")  # a later deployment does not change it
    assert with_supply(settings, "auto").choose(POSTGRESQL) == "packages"
    assert with_supply(settings, "auto").choose(EXPORTER) == "auto"


def test_the_other_supply_is_refused_until_the_data_is_gone(settings):
    deployed(settings)
    with pytest.raises(Refused, match="postgresql has data of its `packages` version"):
        with_supply(settings, "upstream").choose(POSTGRESQL)
    SupplyRecord(settings).forget()
    assert with_supply(settings, "upstream").choose(POSTGRESQL) == "upstream"
