"""Which supply each store's data began with. The two supplies differ in versions, and PostgreSQL 18 does not see 17's data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from infra.catalogue import Component
from infra.errors import Refused
from infra.settings import Settings, Supply
from supply.images import Image


class SupplyRecord:
    """Remembers, for a name prefix, the supply of every component that stores data, for as long as the data is there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file: Path = settings.folders.state / "supplies" / f"{settings.name_prefix}.json"
        self._known: dict[str, Supply] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def choose(self, component: Component) -> Supply:
        """The supply to use: the one its data began with, or the stack's where there is none.

        Raises:
            Refused: when the stack asks for the other one.
        """
        wanted, begun = self._settings.supply, self._known.get(component.name)
        if begun is None or wanted in (begun, "auto"):
            return begun or wanted
        raise Refused(
            f"{component.name} has data of its `{begun}` version, and supply {wanted} has another version that may not read it;"
            f" keep `supply: {begun}` or `auto`, or dump the data, `make purge` and restore it"
        )

    def keep(self, components: Iterable[Component], images: Iterable[Image]) -> None:
        """Note what the stores of a deployment run on."""
        stores = {component.name for component in components if component.data}
        known = {**{image.component: image.supply for image in images if image.component in stores}, **self._known}
        if known != self._known:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(known))

    def forget(self) -> None:
        """The data is gone."""
        self._file.unlink(missing_ok=True)
