"""Expressions that several dashboards need, written once."""

from __future__ import annotations

P = 'component=~"$process"'
"""Of the chosen processes."""
S = f'{P},strategy=~"$strategy"'
"""Of the chosen strategies in them."""
RATE = "[$__rate_interval]"
RANGE = "[$__range]"


def ratio(part: str, whole: str) -> str:
    """A share that is 0, and not missing, while there is nothing of the whole."""
    return f"{part} / ({whole} > 0) or {part} * 0"


def quantile(share: float, metric: str, selector: str, by: str = "") -> str:
    """A quantile of a histogram over the rate interval."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{selector}}}{RATE})))"


def histogram(metric: str, selector: str, window: str = RANGE) -> str:
    """What fell into each bucket."""
    return f"sum by (le) (increase({metric}_bucket{{{selector}}}{window}))"
