"""The processor architecture that is built for, in Debian's, Go's and Docker's common naming."""

from __future__ import annotations

import platform as host

from supply.errors import SupplyError

_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
WHEEL_NAMES = {name: machine for machine, name in _NAMES.items()}


def architecture() -> str:
    """``amd64`` or ``arm64``.

    Raises:
        SupplyError: on any other machine.
    """
    machine = host.machine()
    if machine not in _NAMES:
        raise SupplyError(f"this machine is {machine}; the supply knows {' and '.join(_NAMES)}")
    return _NAMES[machine]
