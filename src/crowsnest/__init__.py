"""Crowsnest: self-hosted observability for algorithmic trading.

Two kinds of code live in this package. The library (`crowsnest.logs`, `metrics`, `alerts`) runs inside a trading process: it
depends on a few small packages only, and nothing in it may block, slow or crash its caller. The services
(`crowsnest.engine`, ...) are processes of their own. The library never imports a service.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
