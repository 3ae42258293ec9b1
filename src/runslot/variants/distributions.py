"""Distributions that `sample` draws from: `uniform`, `loguniform`, `integers`, `choice`.

Draws use `random()` alone, whose numbers for a seed Python promises to keep; the caller passes the generator.
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
from runslot.variants.variant import own

DIGITS = 6
"""Significant digits of a drawn float: enough for a search, short in names and command lines, and the same on machines
whose `exp` and `log` differ in the last bit."""


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
        return _rounded(self.low + rng.random() * (self.high - self.low), self.high - self.low, self)


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Floats between `low` and `high`, their logarithms equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("loguniform", self.low, self.high)
        if self.low <= 0:
            raise InvalidInput(f"loguniform({self.low}, {self.high}) has no logarithm at its low end; start above 0")

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
                raise InvalidInput(f"integers({self.low!r}, {self.high!r}) takes whole numbers; for others use uniform")
        if self.low > self.high:
            raise InvalidInput(f"integers({self.low}, {self.high}) is empty: write the lower end first")

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
    """Floats between `low` and `high`, both above 0, equally likely on a logarithmic scale; six significant digits."""
    return LogUniform(low, high)


def integers(low: int, high: int) -> Integers:
    """Whole numbers from `low` to `high`, both included."""
    return Integers(low, high)


def choice(options: Sequence[Any]) -> Choice:
    """One of the options."""
    if isinstance(options, str) or not isinstance(options, (list, tuple, range)):
        raise InvalidInput(f"choice takes a list of options, not {options!r}")
    return Choice(own(tuple(options)))


def _check_range(name: str, low: float, high: float) -> None:
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, (int, float)) or not math.isfinite(end):
            raise InvalidInput(f"{name}({low!r}, {high!r}): {end!r} is not a finite number")
    if low >= high:
        raise InvalidInput(f"{name}({low!r}, {high!r}) is empty: write the lower end first, and a higher one after it")


def _rounded(value: float, scale: float, ends: Uniform | LogUniform) -> float:
    digits = DIGITS - 1 - math.floor(math.log10(scale))
    return float(min(max(round(value, digits), ends.low), ends.high))
