"""What a multirun's overrides ask for: settings that are the same in every job, and the axes of a
space.

`sweep` reads it from overrides in Hydra's own grammar; `trial` makes a job's overrides of it again,
from the values that were chosen. Choices keep the text that Hydra's parser gives them, so that an
interpolation, a quoted text or a list arrives as it was written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.variants.distributions import (
    Choice,
    Distribution,
    Integers,
    LogIntegers,
    LogUniform,
    Uniform,
)
from runslot.variants.variant import UnknownKey, get_path

LOG = "log"
"""The one tag that means something: values are equally likely on a logarithmic scale."""


@record
class SweptOverride:
    """One override that is swept."""

    element: str
    """How its overrides begin: `lr`, `+lr`, `db/engine`, `model@net`."""
    distribution: Distribution
    texts: tuple[str, ...] = ()
    """Of a choice, how each option is written."""

    @property
    def key(self) -> str:
        """Its name as a parameter: without the `+` of a key that the configuration lacks."""
        return self.element.lstrip("+")

    def override(self, value: Any) -> str:
        """Return the override that gives a job this value."""
        if isinstance(self.distribution, Choice):
            index = self.distribution.index(value)
            if index is None:
                raise InvalidInput(f"{self.key} has no option {value!r}")
            return f"{self.element}={self.texts[index]}"
        return f"{self.element}={value!r}"


@record
class OverrideSpace:
    """The overrides of a multirun, in their order."""

    parts: tuple[str | SweptOverride, ...]
    """Overrides that all jobs share, as they were written, and what is swept."""

    @property
    def axes(self) -> dict[str, SweptOverride]:
        """What is swept, by parameter."""
        return {part.key: part for part in self.parts if isinstance(part, SweptOverride)}

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return a job's overrides; `values` is its variant, nested as variants are."""
        return [
            part if isinstance(part, str) else part.override(_value_of(values, part.key))
            for part in self.parts
        ]

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield every combination, by parameter; the last one changes fastest."""
        axes = self.axes
        options = [_options(axis) for axis in axes.values()]
        for values in itertools.product(*options):
            yield dict(zip(axes, values, strict=True))

    def probes(self) -> Iterator[dict[str, Any]]:
        """Yield combinations in which every option of a choice stands once, and of a range its low
        end.
        """
        axes = self.axes
        first = {key: _options(axis, probe=True)[0] for key, axis in axes.items()}
        yield first
        for key, axis in axes.items():
            for option in _options(axis, probe=True)[1:]:
                yield {**first, key: option}


def read_space(texts: Sequence[str], config_loader: Any) -> OverrideSpace:
    """Read overrides as a multirun has them; of two for one key the later counts, as in Hydra.

    Hydra's own exceptions say what is no override.
    """
    parts: dict[str, str | SweptOverride] = {}
    for override in OverridesParser.create(config_loader=config_loader).parse_overrides(
        list(texts)
    ):
        element = override.get_key_element()
        parts.pop(element, None)
        if override.is_sweep_override():
            parts[element] = _axis(element, override)
        else:
            parts[element] = str(override.input_line)
    return OverrideSpace(tuple(parts.values()))


def _axis(element: str, override: Override) -> SweptOverride:
    value: Any = override.value()
    tags = frozenset(getattr(value, "tags", ()))
    if tags - {LOG}:
        names = ", ".join(sorted(tags - {LOG}))
        raise InvalidInput(
            f"{override.input_line}: the tag {names} means nothing here; `log` is the one that does"
        )
    if isinstance(value, IntervalSweep):
        try:
            return SweptOverride(element, _interval(value, bool(tags)))
        except InvalidInput as error:
            raise InvalidInput(f"{override.input_line}: {error}") from None
    elements = list(override.sweep_iterator())
    if not elements:
        raise InvalidInput(f"{override.input_line}: there is nothing to choose from")
    if override.is_range_sweep() and (numbers := _range(elements, bool(tags))) is not None:
        return SweptOverride(element, numbers)
    if tags:
        raise InvalidInput(
            f"{override.input_line}: tag(log, …) is for an interval, or a range of whole numbers"
        )
    # A list has its choices once: an option that stands twice would be the same trial twice.
    texts: dict[str, Any] = {}
    for option in elements:
        texts.setdefault(
            Override._get_value_element_as_str(option), Override._convert_value(option)
        )
    return SweptOverride(element, Choice(tuple(texts.values())), tuple(texts))


def _interval(interval: IntervalSweep, log: bool) -> Distribution:
    low: Any = interval.start
    high: Any = interval.end
    if isinstance(low, int) and isinstance(high, int):  # int(interval(1, 8))
        return LogIntegers(low, high) if log else Integers(low, high)
    return LogUniform(low, high) if log else Uniform(low, high)


def _range(values: Sequence[Any], log: bool) -> Distribution | None:
    """Return whole numbers in equal steps as what they are; None for others, which are a choice."""
    if len(values) < 2 or not all(type(value) is int for value in values):
        return None
    step = abs(values[1] - values[0])
    low, high = min(values), max(values)
    if set(values) != set(range(low, high + 1, step)):
        return None
    if not log:
        return Integers(low, high, step)
    return LogIntegers(low, high) if step == 1 else None


def _options(axis: SweptOverride, probe: bool = False) -> list[Any]:
    """Return the values of an axis; of a range its low end alone where that is to `probe`."""
    match axis.distribution:
        case Choice(options):
            return list(options)
        case Integers(low, high, step) if not probe:
            return list(range(low, high + 1, step))
        case LogIntegers(low, high) if not probe:
            return list(range(low, high + 1))
        case Integers(low) | LogIntegers(low) | Uniform(low) | LogUniform(low):
            if probe:
                return [low]
    raise InvalidInput(
        f"{axis.key} is an interval, of which a grid has no end: give hydra.sweeper.n_trials=20, or"
        " list values"
    )


def _value_of(values: Mapping[str, Any], key: str) -> Any:
    try:
        return get_path(values, key)
    except UnknownKey:
        return values[key]
