"""What a search chooses from: distributions by key, or a function `space(trial)` that asks for its
values.

`parse_space` reads `--search`, `make_space` what Python and sweep files give. A sampler calls
`propose` with what chooses a value, and `study` makes the trial's variant of it. Pure: the same
choices give the same variant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from itertools import pairwise
from typing import Any, NoReturn

from runslot.errors import InvalidInput, RunslotError, nearest
from runslot.record import record
from runslot.variants.distributions import (
    Choice,
    Distribution,
    Integers,
    LogIntegers,
    LogUniform,
    Uniform,
    is_number,
)
from runslot.variants.grid import read_settings, refuse_inside
from runslot.variants.parse import parse_sample
from runslot.variants.variant import UnknownKey, dotted, get_path, own, set_path, split_key

Choose = Callable[[str, Distribution], Any]
"""Returns the value of a parameter, by its key and what it is drawn from."""


@record
class Proposed:
    """What was chosen for one trial."""

    params: Mapping[str, Any]
    """By dotted key, in the order in which they were asked for."""
    distributions: Mapping[str, Distribution]
    variant: Mapping[str, Any]
    """The trial's variant: nested, with the fixed settings."""


class Suggestions:
    """What `def space(trial)` gets: values are asked for in Optuna's spelling, and may decide what
    is asked next.
    """

    def __init__(self, number: int, choose: Choose) -> None:
        self.number = number
        """The trial's number, from 0 on."""
        self.params: dict[str, Any] = {}
        """What was chosen so far."""
        self._choose = choose
        self._distributions: dict[str, Distribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a float between `low` and `high`."""
        if log and step is not None:
            raise InvalidInput(
                f"{name}: a logarithmic range has no step; leave one of log and step out"
            )
        if low == high:
            return float(self._value(name, lambda: Choice((float(low),))))
        return float(
            self._value(name, lambda: LogUniform(low, high) if log else Uniform(low, high, step))
        )

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return a whole number from `low` to `high`, both included."""
        if log and step != 1:
            raise InvalidInput(
                f"{name}: a logarithmic range has no step; leave one of log and step out"
            )
        return int(
            self._value(name, lambda: LogIntegers(low, high) if log else Integers(low, high, step))
        )

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices, which may be lists or dicts."""
        return self._value(name, lambda: Choice(own(tuple(choices))))

    def proposed(self, variant: Any) -> Proposed:
        """Return what was chosen; `variant` is what the function returned: a dict, or None for the
        parameters alone.
        """
        if not self.params:
            raise InvalidInput(
                "the space asks for no parameter; call trial.suggest_float, suggest_int or the like"
            )
        if variant is None:
            settings: dict[str, Any] = {}
            for name, value in self.params.items():
                set_path(settings, name, own(value))
        elif isinstance(variant, Mapping):
            settings = dict(variant)
        else:
            raise InvalidInput(
                f"a space returns the variant as a dict, or nothing, not a {type(variant).__name__}"
            )
        return Proposed(dict(self.params), dict(self._distributions), settings)

    def _value(self, name: str, make: Callable[[], Distribution]) -> Any:
        try:
            distribution = make()
        except InvalidInput as error:
            raise InvalidInput(f"the space asks for {name!r}: {error}") from None
        if name in self.params:
            if not is_same(self._distributions[name], distribution):
                raise InvalidInput(
                    f"the space asks for {name!r} twice, of different values; give each a name of"
                    f" its own"
                )
            return own(self.params[name])
        split_key(name)
        value = self._choose(name, distribution)
        self.params[name], self._distributions[name] = value, distribution
        return own(value)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        has = ("suggest_float", "suggest_int", "suggest_categorical", "number", "params")
        raise InvalidInput(
            f"a space asks for values and no more: trial has no {name!r}{nearest(name, has)}; it"
            f" has {', '.join(has)}"
        )


@record
class SearchSpace:
    """Distributions by dotted key with fixed settings beside them, or a function that asks."""

    parameters: Mapping[str, Distribution] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[[Suggestions], Any] | None = None

    @property
    def size(self) -> int | None:
        """How many different variants there are; None where there is no end, or only the function
        knows.
        """
        sizes = [distribution.size for distribution in self.parameters.values()]
        if self.function is not None or None in sizes:
            return None
        return math.prod(size for size in sizes if size is not None)

    def propose(self, number: int, choose: Choose) -> Proposed:
        """Return the parameters and the variant of a trial, of which `choose` gives each value."""
        suggestions = Suggestions(number, choose)
        if self.function is not None:
            return suggestions.proposed(_call(self.function, suggestions))
        params = {
            name: choose(name, distribution) for name, distribution in self.parameters.items()
        }
        return Proposed(params, self.parameters, self.variant_of(params))

    def variant_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variant of a space without a function: its fixed settings and these
        parameters.
        """
        settings: dict[str, Any] = {}
        for name, value in (*self.fixed.items(), *params.items()):
            set_path(settings, name, own(value))
        return settings

    def replay(self, number: int, params: Mapping[str, Any]) -> Proposed | None:
        """Return what these parameters were chosen from; None where the space has other ones by
        now.
        """

        def choose(name: str, distribution: Distribution) -> Any:
            if name not in params or not distribution.holds(params[name]):
                raise _OtherSpace
            return params[name]

        try:
            proposed = self.propose(number, choose)
        except _OtherSpace:
            return None
        return proposed if len(proposed.params) == len(params) else None

    def params_of(self, variant: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the parameters of a variant of another experiment; None where it lies outside this
        space.

        A function's parameters are looked for under their own names.
        """

        def choose(name: str, distribution: Distribution) -> Any:
            try:
                value = get_path(variant, name)
            except UnknownKey:
                raise _OtherSpace from None
            if isinstance(distribution, (Uniform, LogUniform)) and is_number(value):
                value = float(value)
            if not distribution.holds(value):
                raise _OtherSpace
            return value

        try:
            return dict(self.propose(0, choose).params)
        except _OtherSpace:
            return None


class _OtherSpace(Exception):
    """These parameters are not of this space."""


def parse_space(words: Sequence[str]) -> SearchSpace:
    """Read what `--search` was given, `lr=loguniform(1e-5,1e-1)` and so on, one a key."""
    settings: dict[str, Distribution] = {}
    for word in words:
        key, distribution = parse_sample(word)
        if key in settings:
            raise InvalidInput(f"{word!r}: {key} is searched twice; leave one out")
        settings[key] = distribution
    return make_space(settings)


def make_space(settings: Mapping[str, Any] | Callable[[Suggestions], Any]) -> SearchSpace:
    """Return the space of a function, or of a dict by key: a distribution, a list as a choice,
    anything else fixed.
    """
    if callable(settings) and not isinstance(settings, Mapping):
        return SearchSpace(function=settings)
    fixed, choices = read_settings(settings, "a search", with_distributions=True)
    if not choices:
        raise InvalidInput(
            "the search has nothing to choose: give a key a distribution, such as loguniform(1e-5,"
            " 1e-1)"
        )
    for path in (*choices, *fixed):
        refuse_inside(path, [*choices, *fixed])
    parameters = {
        dotted(path): value if isinstance(value, Distribution) else Choice(own(tuple(value)))
        for path, value in choices.items()
    }
    if all(distribution.size == 1 for distribution in parameters.values()):
        raise InvalidInput(
            f"the search has one variant alone: {', '.join(parameters)} can have one value; widen"
            f" it"
        )
    return SearchSpace(parameters, {dotted(path): value for path, value in fixed.items()})


def is_ordered(options: Sequence[Any]) -> bool:
    """Tell whether options are numbers that rise or fall."""
    if len(options) < 3 or not all(is_number(option) for option in options):
        return False
    pairs = list(pairwise(options))
    return all(first < second for first, second in pairs) or all(
        first > second for first, second in pairs
    )


def _call(function: Callable[[Suggestions], Any], suggestions: Suggestions) -> Any:
    try:
        return function(suggestions)
    except (RunslotError, _OtherSpace):
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        line = f", line {trace.tb_lineno}" if trace is not None else ""
        name = getattr(function, "__name__", repr(function))
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidInput(f"{name}(trial){line}: {words}") from error


def is_same(first: Distribution, second: Distribution) -> bool:
    """Tell whether two distributions have the same values, equally likely."""
    if isinstance(first, Choice) and isinstance(second, Choice):
        return repr(first.options) == repr(second.options)
    return first == second
