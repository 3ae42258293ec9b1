"""What the user chose to see, as the page's address says it. Pure.

The address is the only place where choices are kept, so that a view can be shared, bookmarked and
drawn again by `runslot plot`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from runslot.errors import InvalidInput
from runslot.experiment.states import STATES
from runslot.record import record
from runslot.results.accounts import Diverged

Kind = Literal[
    "curves", "bars", "profile", "improvement", "importance", "scatter", "parallel", "heat", "slots"
]
Spread = Literal["auto", "mean-ci", "mean-std", "mean-sem", "median-quartiles", "iqm", "runs"]
"""A statistic of `runslot.results.statistics.band`, `runs` (each run by itself), or `auto`: the
mean and its t interval, and in its place the runs themselves where a group has fewer than five."""
ROW = "row"
"""The x axis on which a run's rows are counted from 0."""
ONLY, WITHOUT = "only.", "not."
"""Before a column's name: show only runs, or no runs, with these values."""
LEAST, MOST = "min.", "max."
"""Before a column's name: show only runs whose numbers are not below, or not above, a limit."""
NOTHING = "-"
"""Stands in the address where a list was emptied on purpose, so that it does not mean the
default."""
_MOST_CHARACTERS = 40_000
OF_TABLE = ("sort", "pin", "tick")
"""Choices that change nothing but how the table stands in the browser."""


@record
class Choices:
    """One view. An empty value stands for what the page takes by itself
    (`runslot.view.data.groups`)."""

    path: str = ""
    """What the names of directories mean (`{algo}/{env}_{seed}`), else what the server was started
    with."""
    kind: Kind = "curves"
    y: tuple[str, ...] = ()
    """Metrics, a figure each."""
    x: str = ""
    """A metric, or `row`."""
    series: tuple[str, ...] | None = None
    """Columns whose values make a curve each; None: what tells the variants apart."""
    split: tuple[str, ...] = ()
    """Columns whose values make a figure each."""
    band: Spread = "auto"
    level: float = 0.95
    """Of intervals."""
    include: tuple[str, ...] = ()
    """Further states whose runs count; `all` for all (`runslot.results.accounts`)."""
    diverged: Diverged = "nan"
    """What a run that diverged does to its group."""
    simultaneous: str = ""
    """`yes`: the band of a profile holds the whole of it, not each point by itself."""
    smooth: int = 1
    """Rows of the running mean."""
    log: tuple[str, ...] = ()
    """`x`, `y`, or both."""
    low: float | None = None
    high: float | None = None
    """Limits of the y axis."""
    top: int = 0
    """Show only so many series of each figure, the best ones; 0: all."""
    by: str = "final"
    """How runs are judged: `final`, `best`, `mean`, `last-K`, `auc`."""
    mode: str = ""
    """`max`, `min`, or by the metric's name."""
    where: str = ""
    """A condition on the runs, in the language of `runslot.results.where`."""
    text: str = ""
    """Words that a run's path or values have to hold."""
    seeds: str = ""
    """`all`: where variants were confirmed, also the runs that they were chosen by."""
    state: tuple[str, ...] = ()
    """States of runs to show; all where empty."""
    hide: tuple[str, ...] = ()
    """Labels of curves that are not drawn."""
    across: str = ""
    """The horizontal axis of a scatter or heat map: any column of the runs."""
    down: str = ""
    """The vertical axis of a heat map."""
    tasks: tuple[str, ...] | None = None
    """Columns whose values are tasks, within which runs are compared and resampled; None: what is
    named like one."""
    draw: str = ""
    """How scores are drawn: `bars` from zero, `points`, or what shows the difference."""
    brush: tuple[str, ...] = ()
    """Marked ranges of parallel coordinates: `lr from 0.01 to 0.1`, `act in relu | tanh`."""
    axes: tuple[str, ...] = ()
    """Scales of axes of parallel coordinates, other than what the page takes: `lr log`, `linear` or
    `quantile`; `score` is the last one."""
    columns: tuple[str, ...] | None = None
    """Columns of the table; None: what varies and the metrics shown."""
    sort: tuple[str, ...] = ()
    """Columns by which the table is sorted; ` desc` after those that fall."""
    pin: tuple[str, ...] = ()
    """Columns that stay at the left edge of the table."""
    tick: tuple[str, ...] = ()
    """Runs that are ticked."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    """Show only runs with at least this value in a column of numbers."""
    most: Mapping[str, float] = field(default_factory=dict)

    @property
    def names_table(self) -> bool:
        """Whether something of it is about the table, which is opened then."""
        return bool(self.sort or self.pin or self.tick or self.columns)

    def query(self) -> str:
        """Return the choices as the part of an address after `?`; defaults are left out."""
        pairs: list[tuple[str, str]] = []
        for entry in _FIELDS:
            value = getattr(self, entry.name)
            if value == entry.default:
                continue
            if isinstance(value, tuple):
                pairs += [(entry.name, _kept(item)) for item in value] or [(entry.name, NOTHING)]
            else:
                pairs.append((entry.name, str(value)))
        for prefix, values in ((ONLY, self.only), (WITHOUT, self.without)):
            pairs += [(prefix + key, item) for key, items in values.items() for item in items]
        for prefix, limits in ((LEAST, self.least), (MOST, self.most)):
            pairs += [(prefix + key, str(limit)) for key, limit in limits.items()]
        return urlencode(pairs)

    def replaced(self, values: Mapping[str, object]) -> Choices:
        """Return the choices with values other than the defaults put in; `InvalidInput` for one
        that cannot be."""
        usual = Choices()
        changed = {name: value for name, value in values.items() if value != getattr(usual, name)}
        for name, value in changed.items():
            _check(name, value)
        return dataclasses.replace(self, **changed)  # type: ignore[arg-type]  # names and values of its own fields

    @classmethod
    def from_query(cls, query: str) -> Choices:
        """Read an address. Raises `InvalidInput` for a value that cannot be; unknown names are
        ignored."""
        try:
            pairs = parse_qsl(
                query.removeprefix("?")[:_MOST_CHARACTERS],
                keep_blank_values=True,
                max_num_fields=500,
            )
        except ValueError as error:
            raise InvalidInput(f"the address cannot be read ({error})") from error
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        fields = {
            entry.name: _read(entry.name, values[entry.name])
            for entry in _FIELDS
            if entry.name in values
        }
        limits = {
            prefix: {
                key.removeprefix(prefix): _number(key, v[-1], float)
                for key, v in values.items()
                if key.startswith(prefix)
            }
            for prefix in (LEAST, MOST)
        }
        return cls(
            **fields,
            least=limits[LEAST],
            most=limits[MOST],
            only={
                key.removeprefix(ONLY): tuple(v)
                for key, v in values.items()
                if key.startswith(ONLY)
            },
            without={
                key.removeprefix(WITHOUT): tuple(v)
                for key, v in values.items()
                if key.startswith(WITHOUT)
            },
        )


_FIELDS = tuple(
    entry
    for entry in dataclasses.fields(Choices)
    if entry.name not in {"only", "without", "least", "most"}
)
_LISTS = {
    "y",
    "series",
    "split",
    "log",
    "state",
    "hide",
    "columns",
    "tasks",
    "brush",
    "axes",
    "include",
    *OF_TABLE,
}
_WORDS = {
    "kind": get_args(Kind),
    "band": get_args(Spread),
    "mode": ("", "max", "min"),
    "log": ("x", "y"),
    "draw": ("", "bars", "points"),
    "seeds": ("", "all"),
    "simultaneous": ("", "yes"),
    "diverged": get_args(Diverged),
    "include": (*STATES, "all"),
}


def without_table(query: str) -> str:
    """Return an address without what only the table needs, the rest as it is written."""
    pairs = query.removeprefix("?").split("&")
    return "&".join(pair for pair in pairs if pair.partition("=")[0] not in OF_TABLE)


def _kept(item: str) -> str:
    """Return a value of a list so that `NOTHING` itself can be one."""
    return f"{NOTHING}{item}" if item.startswith(NOTHING) else item


def _read(name: str, values: list[str]) -> Any:
    if name in _LISTS:
        if values == [NOTHING]:
            return ()
        items = tuple(v[len(NOTHING) :] if v.startswith(NOTHING) else v for v in values)
        _check(name, items)
        return items
    value = values[-1]
    _check(name, value)
    if name in {"smooth", "top"}:
        return _number(name, value, int)
    if name == "level":
        level = _number(name, value, float)
        if not 0 < level < 1:
            raise InvalidInput(f"level={value!r} is not between 0 and 1; 0.95 is usual")
        return level
    if name in {"low", "high"}:
        return _number(name, value, float) if value else None
    return value


def _check(name: str, value: object) -> None:
    if name == "level" and isinstance(value, float) and not 0 < value < 1:
        raise InvalidInput(f"level={value} is not between 0 and 1; 0.95 is usual")
    for word in value if name in {"log", "include"} and isinstance(value, tuple) else (value,):
        if name in _WORDS and word not in _WORDS[name]:
            raise InvalidInput(
                f"{name}={word!r} is none of {', '.join(w for w in _WORDS[name] if w)}"
            )


def _number(name: str, value: str, kind: type[int] | type[float]) -> float:
    try:
        number = kind(value)
    except ValueError as error:
        raise InvalidInput(f"{name}={value!r} is not a number") from error
    if not math.isfinite(number) or (kind is int and number < 0):
        raise InvalidInput(f"{name}={value!r} is out of range")
    return number
