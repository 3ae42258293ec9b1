"""What is refused and said before machines are rented."""

from __future__ import annotations

import math

import pytest

from runslot.engines.sky import cost as money
from runslot.errors import InvalidInput


@pytest.mark.parametrize("price", [math.nan, math.inf, -1.0])
def test_a_machine_without_a_price_is_refused(price: float) -> None:
    with pytest.raises(InvalidInput, match="no price for g4dn"):
        money.check(money.Budget(1, "g4dn.xlarge", "aws", price, 1, 24.0))


@pytest.mark.parametrize("left", [EOFError, KeyboardInterrupt])
def test_who_leaves_the_question_rents_nothing(
    left: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(money.YES, raising=False)

    def leaves(_: str) -> str:
        raise left

    with pytest.raises(InvalidInput, match="nothing was rented"):
        money.agreed(leaves)


def test_a_limit_that_comes_before_the_expected_end_is_said() -> None:
    assert any(
        "runs will be stopped" in line
        for line in money.table(money.Budget(1, "x", "aws", 1.0, 9, 2.0, expected=9.0))
    )
    assert not any(
        "runs will be stopped" in line
        for line in money.table(money.Budget(1, "x", "aws", 1.0, 9, 9.0, expected=9.0))
    )
