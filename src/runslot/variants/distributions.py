"""Distributions that `sample` draws from: `uniform`, `loguniform`, `integers`, `choice`.

Draws use `random()` alone, whose numbers for a seed Python promises to keep; the caller passes the
generator.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from runslot.errors import InvalidInput
from runslot.variants.identity import canonical
from runslot.variants.variant import own, plain_containers

DIGITS = 6
"""Significant digits of a drawn float: enough for a search, short in names and command lines, and
the same on machines whose `exp` and `log` differ in the last bit.
"""


INTEGERS_LIMIT = 2**53
"""Up to here every whole number is a float of its own, and `random()` reaches them all."""
ENDS_LIMIT = 1e300
"""Up to here the difference of two ends is a float."""


class Distribution(ABC):
    """What a value is drawn from."""

    @abstractmethod
    def draw(self, rng: Random) -> Any:
        """Return the next value, using one number of `rng`."""

    @property
    def size(self) -> int | None:
        """How many different values there are; None for a range of floats."""
        return None


@dataclass(frozen=True)
class Uniform(Distribution):
    """Floats between `low` and `high`, all equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("uniform", self.low, self.high)

    def draw(self, rng: Random) -> float:
        """Return the next float."""
        return _rounded(
            self.low + rng.random() * (self.high - self.low), self.high - self.low, self
        )


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Floats between `low` and `high`, their logarithms equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("loguniform", self.low, self.high)
        if self.low <= 0:
            raise InvalidInput(
                f"loguniform({self.low}, {self.high}) has no logarithm at its low end; start"
                " above 0"
            )

    def draw(self, rng: Random) -> float:
        """Return the next float."""
        low, high = math.log(self.low), math.log(self.high)
        value = math.exp(low + rng.random() * (high - low))
        return _rounded(value, min(value, self.high - self.low), self)


@dataclass(frozen=True)
class Integers(Distribution):
    """Whole numbers from `low` to `high`, both included, all equally likely."""

    low: int
    high: int

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if type(end) is not int:
                raise InvalidInput(
                    f"integers({self.low!r}, {self.high!r}) takes whole numbers; for others use"
                    " uniform"
                )
            if abs(end) > INTEGERS_LIMIT:
                raise InvalidInput("integers takes ends of up to 2**53, and one here is beyond")
        if self.low > self.high:
            raise InvalidInput(
                f"integers({self.low}, {self.high}) is empty: write the lower end first"
            )

    def draw(self, rng: Random) -> int:
        """Return the next whole number."""
        return self.low + int(rng.random() * (self.high - self.low + 1))

    @property
    def size(self) -> int:
        """How many whole numbers the range has."""
        return self.high - self.low + 1


@dataclass(frozen=True, eq=False)
class Choice(Distribution):
    """One of the options, all equally likely."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise InvalidInput("choice([]) has nothing to choose from")

    def draw(self, rng: Random) -> Any:
        """Return one of the options, a copy of its own."""
        return own(self.options[int(rng.random() * len(self.options))])

    @property
    def size(self) -> int:
        """How many different options there are."""
        return len(set(map(canonical, self.options)))


def uniform(low: float, high: float) -> Uniform:
    """Floats between `low` and `high`, drawn to six significant digits of the range."""
    return Uniform(low, high)


def loguniform(low: float, high: float) -> LogUniform:
    """Floats between `low` and `high`, both above 0, equally likely on a logarithmic scale; six
    significant digits.
    """
    return LogUniform(low, high)


def integers(low: int, high: int) -> Integers:
    """Whole numbers from `low` to `high`, both included."""
    return Integers(low, high)


def choice(options: Sequence[Any]) -> Choice:
    """One of the options."""
    options = plain_containers(options)
    if not isinstance(options, (list, tuple, range)):
        raise InvalidInput(f"choice takes a list of options, not {options!r}")
    return Choice(own(tuple(options)))


def _check_range(name: str, low: float, high: float) -> None:
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, (int, float)) or not abs(end) <= ENDS_LIMIT:
            raise InvalidInput(
                f"{name}({low!r:.40}, {high!r:.40}): {end!r:.40} is not a finite number"
            )
    if low >= high:
        raise InvalidInput(
            f"{name}({low!r}, {high!r}) is empty: write the lower end first, and a higher one"
            " after it"
        )


def _rounded(value: float, scale: float, ends: Uniform | LogUniform) -> float:
    digits = DIGITS - 1 - math.floor(math.log10(scale))
    return float(min(max(round(value, digits), ends.low), ends.high))
