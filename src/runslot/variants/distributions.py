"""Distributions that `sample` and a search draw from: `uniform`, `loguniform`, `integers`,
`logintegers`, `choice`.

Draws use `random()` alone, whose numbers for a seed Python promises to keep; the caller passes the
generator.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from random import Random
from typing import Any

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.variants.encode import canonical, is_plain
from runslot.variants.variant import own, plain_containers

DIGITS = 6
"""Significant digits of a drawn float: enough for a search, short in names and command lines, and
the same on machines whose `exp` and `log` differ in the last bit.
"""


INTEGERS_LIMIT = 2**53
"""Up to here every whole number is a float of its own, and `random()` reaches them all."""
STEPS_LIMIT = 1_000_000
"""Steps that a range of floats may have."""
ENDS_LIMIT = 1e300
"""Up to here the difference of two ends is a float."""


class Distribution(ABC):
    """What a value is drawn from."""

    @abstractmethod
    def at(self, place: float) -> Any:
        """Return the value at a place from 0 to below 1; equal parts of that are equally likely."""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Tell whether the value is one that could be drawn, or lies between two that could."""

    @abstractmethod
    def words(self) -> str:
        """Return it as the command line has it, such as `uniform(0, 1)`."""

    def draw(self, rng: Random) -> Any:
        """Return the next value, using one number of `rng`."""
        return self.at(rng.random())

    @property
    def size(self) -> int | None:
        """How many different values there are; None for a range of floats."""
        return None


@record
class Uniform(Distribution):
    """Floats between `low` and `high`, all equally likely; with a `step`, `low`, `low` + `step`, …
    up to `high`.
    """

    low: float
    high: float
    step: float | None = None

    def __post_init__(self) -> None:
        _check_range("uniform", self.low, self.high)
        if self.step is None:
            return
        _check_step("uniform", self.step, self.high - self.low)
        if (self.high - self.low) / self.step > STEPS_LIMIT:
            raise InvalidInput(
                f"uniform({self.low}, {self.high}, {self.step}) has more than {STEPS_LIMIT:,} steps"
            )

    def at(self, place: float) -> float:
        """Return the float at a place from 0 to below 1."""
        if self.step is not None:
            return self.value(int(place * self.values))
        return _rounded(self.low + place * (self.high - self.low), self.high - self.low, self)

    def words(self) -> str:
        """Return it as the command line has it."""
        step = "" if self.step is None else f", {self.step!r}"
        return f"uniform({self.low!r}, {self.high!r}{step})"

    def holds(self, value: Any) -> bool:
        """Tell whether the value is a number between the ends."""
        return is_number(value) and self.low <= value <= self.high

    def value(self, index: int) -> float:
        """Return the value of a step, 0 being `low`."""
        assert self.step is not None
        value = self.low + index * self.step
        # Two digits less than a double has: 0.1 + 2 * 0.1 is 0.3. A sum near 0 has the digits of
        # its terms.
        return round(
            value, 13 - math.floor(math.log10(max(abs(self.low), abs(self.high), self.step)))
        )

    @property
    def values(self) -> int:
        """How many steps there are, both ends included; `step` is not None."""
        assert self.step is not None
        return int((self.high - self.low) / self.step * (1 + 1e-12)) + 1

    @property
    def size(self) -> int | None:
        """How many values there are; None without steps."""
        return None if self.step is None else self.values


@record
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

    def at(self, place: float) -> float:
        """Return the float at a place from 0 to below 1."""
        low, high = math.log(self.low), math.log(self.high)
        value = math.exp(low + place * (high - low))
        return _rounded(value, min(value, self.high - self.low), self)

    def words(self) -> str:
        """Return it as the command line has it."""
        return f"loguniform({self.low!r}, {self.high!r})"

    def holds(self, value: Any) -> bool:
        """Tell whether the value is a number between the ends."""
        return is_number(value) and self.low <= value <= self.high


@record
class Integers(Distribution):
    """Whole numbers from `low` to `high`, both included, all equally likely; with a `step`, each so
    many.
    """

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        _check_whole("integers", self.low, self.high)
        if type(self.step) is not int:
            raise InvalidInput(
                f"integers({self.low}, {self.high}) takes a whole number as its step,"
                f" not {self.step!r}"
            )
        _check_step("integers", self.step, max(self.high - self.low, 1))

    def at(self, place: float) -> int:
        """Return the whole number at a place from 0 to below 1."""
        return self.low + int(place * self.size) * self.step

    def words(self) -> str:
        """Return it as the command line has it."""
        step = "" if self.step == 1 else f", {self.step}"
        return f"integers({self.low}, {self.high}{step})"

    def holds(self, value: Any) -> bool:
        """Tell whether the value is a whole number between the ends."""
        return type(value) is int and self.low <= value <= self.high

    @property
    def size(self) -> int:
        """How many whole numbers the range has."""
        return (self.high - self.low) // self.step + 1


@record
class LogIntegers(Distribution):
    """Whole numbers from `low` to `high`, both included, their logarithms equally likely."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_whole("logintegers", self.low, self.high)
        if self.low < 1:
            raise InvalidInput(
                f"logintegers({self.low}, {self.high}) has no logarithm at its low end; start at 1"
            )

    def at(self, place: float) -> int:
        """Return the whole number at a place from 0 to below 1; each has the width from half below
        to half above.
        """
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(max(round(math.exp(low + place * (high - low))), self.low), self.high)

    def words(self) -> str:
        """Return it as the command line has it."""
        return f"logintegers({self.low}, {self.high})"

    def holds(self, value: Any) -> bool:
        """Tell whether the value is a whole number between the ends."""
        return type(value) is int and self.low <= value <= self.high

    @property
    def size(self) -> int:
        """How many whole numbers the range has."""
        return self.high - self.low + 1


@record(eq=False)
class Choice(Distribution):
    """One of the options, all equally likely."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise InvalidInput("choice([]) has nothing to choose from")

    def at(self, place: float) -> Any:
        """Return the option at a place from 0 to below 1, a copy of its own."""
        return own(self.options[int(place * len(self.options))])

    def words(self) -> str:
        """Return it as the command line has it."""
        if not all(is_plain(option) for option in self.options):
            raise InvalidInput(
                "the choices of a search must be numbers, texts, lists or dicts of these: they are"
                " written"
                " into its files"
            )
        return f"choice({', '.join(json.dumps(option) for option in self.options)})"

    def holds(self, value: Any) -> bool:
        """Tell whether the value is one of the options."""
        return self.index(value) is not None

    def index(self, value: Any) -> int | None:
        """Return the place of an option among them, which may be a list or a dict; None where it is
        none.
        """
        return self._places.get(canonical(value))

    @property
    def size(self) -> int:
        """How many different options there are."""
        return len(self._places)

    @cached_property
    def _places(self) -> dict[str, int]:
        """By the content of an option, its first place."""
        places: dict[str, int] = {}
        for place, option in enumerate(self.options):
            places.setdefault(canonical(option), place)
        return places


def uniform(low: float, high: float, step: float | None = None) -> Uniform:
    """Floats between `low` and `high`, drawn to six significant digits of the range, or in steps
    from `low` on.
    """
    return Uniform(low, high, step)


def loguniform(low: float, high: float) -> LogUniform:
    """Floats between `low` and `high`, both above 0, equally likely on a logarithmic scale; six
    significant digits.
    """
    return LogUniform(low, high)


def integers(low: int, high: int, step: int = 1) -> Integers:
    """Whole numbers from `low` to `high`, both included, or in steps from `low` on."""
    return Integers(low, high, step)


def logintegers(low: int, high: int) -> LogIntegers:
    """Whole numbers from `low` to `high`, both included, equally likely on a logarithmic scale."""
    return LogIntegers(low, high)


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


def _check_whole(name: str, low: int, high: int) -> None:
    for end in (low, high):
        if type(end) is not int:
            raise InvalidInput(
                f"{name}({low!r:.40}, {high!r:.40}) takes whole numbers; for others use uniform"
            )
        if abs(end) > INTEGERS_LIMIT:
            raise InvalidInput(f"{name} takes ends of up to 2**53, and one here is beyond")
    if low > high:
        raise InvalidInput(f"{name}({low}, {high}) is empty: write the lower end first")


def _check_step(name: str, step: float, width: float) -> None:
    if not is_number(step) or not 0 < step <= width:
        raise InvalidInput(
            f"{name} takes a step above 0 that is no longer than the range ({width:g}),"
            f" not {step!r:.40}"
        )


def is_number(value: object) -> bool:
    """Tell whether a value is an int or a float, and not true or false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rounded(value: float, scale: float, ends: Uniform | LogUniform) -> float:
    digits = DIGITS - 1 - math.floor(math.log10(scale))
    return float(min(max(round(value, digits), ends.low), ends.high))
