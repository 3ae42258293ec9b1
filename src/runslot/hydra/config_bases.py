"""Composed configurations, of which those of further jobs are made that differ in plain values.

`composer` keeps what Hydra composed here. Most jobs of a multirun differ from another one in a
number or a word alone: a copy in which these are set is there in a fraction of the time. What must
stay true: the copy is what Hydra would compose, to the types of its nodes; where that is not
certain, or a value is refused, there is none, and Hydra composes and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal import config_loader_impl
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import split_key
from omegaconf.nodes import ValueNode

from runslot.hydra.node_copy import copy_of
from runslot.record import record

_SETS_A_VALUE = frozenset({OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD})
_PLAIN = frozenset({str, int, float, bool})
_HYDRA = "hydra"

Places = tuple[int, ...]
Lines = tuple[str, ...]


@record
class _Base:
    """A configuration, which stays as it is, and the overrides that made it."""

    config: Any
    overrides: Sequence[Override]


class ConfigBases:
    """What has been composed for a multirun, by what its overrides have in common."""

    def __init__(self) -> None:
        self._bases: dict[Lines, dict[Places, dict[Lines, _Base]]] = {}
        """By the keys of the overrides, the places of those whose values may be others, and the
        other overrides as they stand.
        """

    def add(self, config: Any, overrides: Sequence[Override], value_lines: frozenset[str]) -> None:
        """Keep a copy of what these overrides made, of which some set values in the end."""
        places = _free_places(config, overrides, value_lines)
        if places:
            base = _Base(copy_of(config), overrides)
            same_keys = self._bases.setdefault(_keys(overrides), {})
            same_keys.setdefault(places, {})[_lines_beside(overrides, places)] = base

    def config(self, overrides: Sequence[Override]) -> Any:
        """Return the configuration of these overrides, which is the caller's own; None where only
        Hydra can tell.
        """
        for places, bases in self._bases.get(_keys(overrides), {}).items():
            base = bases.get(_lines_beside(overrides, places))
            if base is not None and all(_is_plain(overrides[place]) for place in places):
                return _changed(base, overrides, places)
        return None


def _keys(overrides: Sequence[Override]) -> Lines:
    return tuple(override.get_key_element() for override in overrides)


def _lines_beside(overrides: Sequence[Override], places: Places) -> Lines:
    return tuple(
        str(override.input_line) for n, override in enumerate(overrides) if n not in places
    )


def _is_plain(override: Override) -> bool:
    """Tell whether an override sets a key to what stands for itself alone."""
    value = override.value()
    if override.type not in _SETS_A_VALUE or override.package is not None:
        return False
    if override.is_sweep_override() or type(value) not in _PLAIN:
        return False
    return not (isinstance(value, str) and ("${" in value or value == "???"))


def _free_places(config: Any, overrides: Sequence[Override], value_lines: frozenset[str]) -> Places:
    """Return which overrides could say another value, and nothing else would be another."""
    paths = [_path(override) for override in overrides]
    if any(path == [_HYDRA, "searchpath"] for path in paths):
        return ()
    return tuple(
        place
        for place, override in enumerate(overrides)
        if override.input_line in value_lines
        and _is_plain(override)
        and paths[place][0] != _HYDRA
        and not any(_overlap(paths[place], path) for path in [*paths[:place], *paths[place + 1 :]])
        and _has_plain_value(config, paths[place])
    )


def _path(override: Override) -> list[str]:
    return [str(key) for key in split_key(override.key_or_group)]


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    length = min(len(one), len(other))
    return list(one[:length]) == list(other[:length])


def _has_plain_value(config: Any, path: Sequence[str]) -> bool:
    """Tell whether a value stands there, below mappings that stand there themselves."""
    node = config
    for key in path:
        content = node.__dict__.get("_content") if isinstance(node, DictConfig) else None
        node = content.get(key) if isinstance(content, dict) else None
    return isinstance(node, ValueNode) and not node._is_interpolation()


def _changed(base: _Base, overrides: Sequence[Override], places: Places) -> Any:
    config = copy_of(base.config)
    try:
        for place in places:
            override = overrides[place]
            if override.input_line != base.overrides[place].input_line:
                OmegaConf.update(config, override.key_or_group, override.value())
        _note(config.hydra, [o for o in overrides if not o.is_hydra_override()])
    except Exception:  # noqa: BLE001  Hydra says what it is
        return None
    return config


def _note(hydra: Any, overrides: Sequence[Override]) -> None:
    """Have Hydra's own part say which overrides made it."""
    task = hydra.overrides.task
    for place, override in enumerate(overrides, len(task) - len(overrides)):
        if task[place] != override.input_line:
            task[place] = override.input_line
    if dirname := getattr(config_loader_impl, "get_overrides_dirname", None):  # until Hydra 1.4
        words = hydra.job.config.override_dirname
        hydra.job.override_dirname = dirname(
            overrides=overrides,
            kv_sep=words.kv_sep,
            item_sep=words.item_sep,
            exclude_keys=words.exclude_keys,
        )
