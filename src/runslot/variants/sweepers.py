"""The sweepers of launchkit and RLKit, under their names: loops over a grid, or over random draws,
with defaults.

Random draws use the generator of Python's `random` module, as there, so that a script's
`random.seed` repeats them.
"""

from __future__ import annotations

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from runslot.errors import InvalidInput
from runslot.variants.grid import Axis, axis, make_grid
from runslot.variants.variant import Variant, overlay, own, set_path, split_key


class Sweeper:
    """What the sweepers have in common, for scripts that ask `isinstance(…, Sweeper)`."""


class DeterministicHyperparameterSweeper(Sweeper):
    """A grid laid over defaults. `{"lr": [0.1, 0.01], "algo.gamma": [0.9, 0.99]}`: dotted keys are
    nested.

    On a clash the searched value wins; where both are dicts they are merged. A choice may stand in
    a list twice. `InvalidInput` where a key has no list of choices, or lies inside another one's.
    """

    def __init__(
        self,
        hyperparameters: Mapping[str, Iterable[Any]],
        default_parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._grid = make_grid(
            {}, [_axis(key, choices) for key, choices in hyperparameters.items()]
        )
        self.set_default_parameters(default_parameters or {})

    def set_default_parameters(self, default_parameters: Mapping[str, Any]) -> None:
        """Replace the defaults under the searched values."""
        self._defaults = own({**default_parameters})

    def iterate_hyperparameters(self) -> list[Variant]:
        """Return every combination as a dict of its own, the first key slowest."""
        return [
            Variant(overlay(own(self._defaults), searched), searched.name)
            for searched in self._grid
        ]


class DeterministicSweeperCombiner:
    """Several sweepers as one loop: every combination of what they yield, each a tuple in the order
    of the sweepers.
    """

    def __init__(self, sweepers: Sequence[DeterministicHyperparameterSweeper]) -> None:
        self._sweepers = list(sweepers)

    def iterate_list_of_hyperparameters(self) -> Iterator[tuple[Variant, ...]]:
        """Yield `(params_of_first, params_of_second, …)`, the first sweeper slowest."""
        return itertools.product(*(sweeper.iterate_hyperparameters() for sweeper in self._sweepers))


class Hyperparameter:
    """A named hyperparameter; a dot in the name nests it."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """The key under which the value stands."""
        return self._name


class RandomHyperparameter(Hyperparameter, ABC):
    """A hyperparameter that is drawn; subclasses say how in `generate_next_value`."""

    @abstractmethod
    def generate_next_value(self) -> Any:
        """Return a new value."""

    def generate(self) -> Any:
        """Return a new value."""
        return self.generate_next_value()


class EnumParam(RandomHyperparameter):
    """One of `possible_values`, all equally likely."""

    def __init__(self, name: str, possible_values: Sequence[Any]) -> None:
        super().__init__(name)
        if not possible_values:
            raise InvalidInput(f"{name} has no possible values")
        self.possible_values = possible_values

    def generate_next_value(self) -> Any:
        """Return one of the values."""
        return random.choice(self.possible_values)  # noqa: S311 - not a secret


class LinearFloatParam(RandomHyperparameter):
    """A float between `min_value` and `max_value`."""

    def __init__(self, name: str, min_value: float, max_value: float) -> None:
        super().__init__(name)
        self._low, self._high = _ordered(name, min_value, max_value)

    def generate_next_value(self) -> float:
        """Return a float of the range."""
        return random.uniform(self._low, self._high)  # noqa: S311 - not a secret


class LogFloatParam(RandomHyperparameter):
    """A float between `min_value` and `max_value`, its logarithm equally likely; `offset` is added
    to it.
    """

    def __init__(self, name: str, min_value: float, max_value: float, *, offset: float = 0) -> None:
        super().__init__(name)
        self._low, self._high = _ordered(name, min_value, max_value)
        if min_value <= 0:
            raise InvalidInput(
                f"{name} starts at {min_value}, which has no logarithm; start above 0 and use"
                " offset"
            )
        self._offset = offset

    def generate_next_value(self) -> float:
        """Return a float of the range."""
        return math.exp(random.uniform(math.log(self._low), math.log(self._high))) + self._offset  # noqa: S311 - not a secret


class LogIntParam(LogFloatParam):
    """A whole number drawn as by `LogFloatParam` and cut to its whole part."""

    def generate_next_value(self) -> int:
        """Return a whole number of the range."""
        return int(super().generate_next_value())


class LinearIntParam(RandomHyperparameter):
    """A whole number from `min_value` to `max_value`, both included."""

    def __init__(self, name: str, min_value: int, max_value: int) -> None:
        super().__init__(name)
        _ordered(name, min_value, max_value)
        self._low, self._high = min_value, max_value

    def generate_next_value(self) -> int:
        """Return a whole number of the range."""
        return random.randint(self._low, self._high)  # noqa: S311 - not a secret


class FixedParam(RandomHyperparameter):
    """Always `value`."""

    def __init__(self, name: str, value: Any) -> None:
        super().__init__(name)
        self._value = value

    def generate_next_value(self) -> Any:
        """Return the value."""
        return self._value


class RandomHyperparameterSweeper(Sweeper):
    """Random draws laid over defaults; dotted names are nested, and on a clash the drawn value
    wins.
    """

    def __init__(
        self,
        hyperparameters: Sequence[RandomHyperparameter] | None = None,
        default_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._hyperparameters = list(hyperparameters or [])
        names = [hyperparameter.name for hyperparameter in self._hyperparameters]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput(
                    f"the hyperparameter {name} stands in the sweeper {names.count(name)} times"
                )
            around = next((other for other in names if name.startswith(f"{other}.")), None)
            if around is not None:
                raise InvalidInput(
                    f"the hyperparameter {name} lies inside {around}, which is drawn too; keep one"
                )
        self.set_default_parameters(default_kwargs or {})

    def set_default_parameters(self, default_kwargs: Mapping[str, Any]) -> None:
        """Replace the defaults under the drawn values."""
        self._defaults = own({**default_kwargs})

    def generate_random_hyperparameters(self) -> Variant:
        """Return one draw of every hyperparameter, with the defaults; named by what was drawn."""
        draw: dict[str, Any] = {}
        for hyperparameter in self._hyperparameters:
            set_path(draw, hyperparameter.name, own(hyperparameter.generate()))
        return Variant(overlay(own(self._defaults), draw), Variant(draw).name)

    def sweep_hyperparameters(
        self, function: Callable[..., Any], num_configs: int
    ) -> list[tuple[Any, Variant]]:
        """Call `function(**draw)` in this process `num_configs` times, and return what it returned
        with each draw.
        """
        draws = (self.generate_random_hyperparameters() for _ in range(num_configs))
        return [(function(**draw), draw) for draw in draws]


def _axis(key: str, choices: Iterable[Any]) -> Axis:
    if isinstance(choices, (str, bytes, Mapping)) or not isinstance(choices, Iterable):
        raise InvalidInput(
            f"{key} is {choices!r}, where a list of choices is needed; write [{choices!r}]"
        )
    rows = [(value,) for value in choices]
    if not rows:
        raise InvalidInput(f"{key} has no choices, so that there would be nothing to run")
    return axis([split_key(key)], rows, repeats=True)


def _ordered(name: str, low: float, high: float) -> tuple[float, float]:
    if low > high:
        raise InvalidInput(f"{name} goes from {low} to {high}; write the lower end first")
    return low, high
