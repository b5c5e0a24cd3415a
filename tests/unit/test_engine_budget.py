"""What a strategy binds, and whether an order fits; nothing here needs NautilusTrader."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowsnest.engine.budget import Cap, Caps, Holding, Usage, bound_after

NOTHING = Holding(Decimal(0), Decimal(0))


def after(held: tuple[int, int], change: int, price: int, bound: int | None = None) -> Decimal:
    holding = Holding(Decimal(held[0]), Decimal(held[1]))
    return bound_after(holding.bound if bound is None else Decimal(bound), holding, Decimal(change), Decimal(price))


@pytest.mark.parametrize(
    ("held", "change", "price", "expected"),
    [
        ((0, 0), 10, 5, 50),
        ((0, 0), -10, 5, 50),
        ((10, 5), 10, 7, 120),
        ((10, 5), -4, 7, 30),
        ((10, 5), -10, 7, 0),
        ((10, 5), -15, 7, 35),
        ((-10, 5), -10, 7, 120),
        ((-10, 5), 25, 7, 105),
    ],
    ids=[
        "buys",
        "sells short",
        "adds",
        "takes away",
        "closes",
        "turns around",
        "adds to a short one",
        "turns a short one around",
    ],
)
def test_capital_bound_after_an_order(held, change, price, expected):
    assert after(held, change, price) == expected


def test_other_holdings_stay_bound():
    assert after((10, 5), -10, 7, bound=1050) == 1000


@given(
    st.integers(-1000, 1000), st.integers(1, 1000), st.integers(-2000, 2000).filter(bool), st.integers(1, 1000),
)  # fmt: skip
def test_nothing_is_ever_bound_below_zero_and_reducing_never_binds_more(quantity, average, change, price):
    holding = Holding(Decimal(quantity), Decimal(average))
    bound = bound_after(holding.bound, holding, Decimal(change), Decimal(price))
    assert bound >= 0
    if quantity and quantity * change < 0 and abs(change) <= abs(quantity):
        assert bound <= holding.bound


def test_a_strategy_without_a_budget_has_the_default():
    caps = Caps(Decimal(5))
    assert caps.of("any") == Cap(Decimal(5), 0)
    assert caps.take({"one": Cap(Decimal(7), 3)}) == ["one"]
    assert caps.take({"one": Cap(Decimal(7), 3)}) == []
    assert (caps.of("one"), caps.of("any")) == (Cap(Decimal(7), 3), Cap(Decimal(5), 0))


def test_usage_counts_denials_by_strategy():
    usage = Usage()
    usage.bound("one", Decimal("1.50"))
    usage.bound("other", Decimal(0))
    usage.denied("one")
    usage.denied("one")
    assert usage.snapshot() == {"one": (Decimal("1.50"), 2), "other": (Decimal(0), 0)}
