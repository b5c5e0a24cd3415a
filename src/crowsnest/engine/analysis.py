"""The small mathematics behind the engine's metrics: pure functions of real returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_BINS = 10
# A bin without a value would make the index infinite.
_LEAST_SHARE = 1e-4
_ITERATIONS = 500
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A portfolio at the end of a day, in dollars; ``positions`` are symbol and signed quantity."""

    equity: float
    cash: float
    realized: float
    unrealized: float
    positions: tuple[tuple[str, float], ...]


def population_stability(reference: Sequence[float], recent: Sequence[float]) -> float:
    """Population Stability Index of two samples over the reference's deciles; 0 means alike.

    Raises:
        ValueError: a sample is empty.
    """
    if not reference or not recent:
        raise ValueError("both samples must have values")
    ordered = sorted(reference)
    edges = [ordered[len(ordered) * number // _BINS] for number in range(1, _BINS)]

    def shares(sample: Sequence[float]) -> list[float]:
        counts = [0] * _BINS
        for value in sample:
            counts[sum(value >= edge for edge in edges)] += 1
        return [max(count / len(sample), _LEAST_SHARE) for count in counts]

    pairs = zip(shares(reference), shares(recent), strict=True)
    return sum((now - before) * math.log(now / before) for before, now in pairs)


def importance(features: Mapping[str, Sequence[float]], outcomes: Sequence[float]) -> dict[str, float]:
    """Share of each feature in what goes with the outcomes: Spearman's rank correlation without its sign, summing to 1.

    Ranks, because one large profit must not decide. All 0 when no feature goes with the outcomes.

    Args:
        features: values of each feature, as many as outcomes.
        outcomes: what came of it.
    """
    ranked = _ranks(outcomes)
    found = {name: abs(_correlation(_ranks(values), ranked)) for name, values in features.items()}
    total = sum(found.values())
    return {name: value / total if total else 0.0 for name, value in found.items()}


def _ranks(values: Sequence[float]) -> list[float]:
    """The place of each value in order; equal ones share the mean of their places."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    last = {value: place for place, value in enumerate(ordered)}
    return [(first[value] + last[value]) / 2 for value in values]


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's; 0 when one of them does not vary."""
    (first, cross), (_, second) = _covariance([one, other])
    return cross / math.sqrt(first * second) if first > 0 and second > 0 else 0.0


def minimum_variance(columns: Sequence[Sequence[float]]) -> list[float] | None:
    """Weights of least variance, none below 0, summing to 1: a quadratic program, by projected gradient.

    Args:
        columns: returns of each asset, of equal length.

    Returns:
        The weights, or None when it did not converge.
    """
    covariance = _covariance(columns)
    step = 1 / max(sum(map(abs, row)) for row in covariance) if any(map(any, covariance)) else 1.0
    weights = [1 / len(columns)] * len(columns)
    for _ in range(_ITERATIONS):
        gradient = [sum(value * weight for value, weight in zip(row, weights, strict=True)) for row in covariance]
        moved = _onto_simplex([weight - step * slope for weight, slope in zip(weights, gradient, strict=True)])
        change = max(abs(after - before) for after, before in zip(moved, weights, strict=True))
        weights = moved
        if change < _TOLERANCE:
            return weights
    return None


def _covariance(columns: Sequence[Sequence[float]]) -> list[list[float]]:
    count = len(columns[0])
    centred = [[value - sum(column) / count for value in column] for column in columns]
    return [[sum(a * b for a, b in zip(one, other, strict=True)) / (count - 1) for other in centred] for one in centred]


def _onto_simplex(point: Sequence[float]) -> list[float]:
    """The nearest point whose parts are not below 0 and sum to 1."""
    total, shift = 0.0, 0.0
    for number, value in enumerate(sorted(point, reverse=True), 1):
        total += value
        if value - (total - 1) / number > 0:
            shift = (total - 1) / number
    return [max(value - shift, 0.0) for value in point]
