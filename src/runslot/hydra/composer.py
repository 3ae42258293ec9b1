"""Hydra's loader of configurations, which does no work twice.

`composition` composes with it. Hydra reads the same files, looks up the same groups and merges them
anew for every job, which takes longer than to run one that does nothing. Here what was read and
merged is kept until the launch, and every job has a copy of its own. What must stay true: what is
composed and what is refused is what Hydra says. It says it itself, the first time; what a plugin's
source of configurations says is not kept. It knows the inside of Hydra 1.3 and 1.4.
"""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable, Hashable, Sequence
from dataclasses import astuple, replace
from types import FunctionType, MethodType
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.defaults_list import Overrides, create_defaults_list
from hydra.conf import ConfigSourceInfo
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from runslot.hydra.config_bases import ConfigBases
from runslot.hydra.node_copy import copy_of

_HYDRAS_OWN = "hydra._internal."


class ConfigParts:
    """What was read and merged; everybody who asks for it gets a copy."""

    def __init__(self) -> None:
        self._values: dict[Hashable, bytes | tuple[Any]] = {}
        self.is_kept = True
        """Whether all that was asked for since this was set is kept."""
        self.value_lines: frozenset[str] = frozenset()
        """The overrides of the last composition that set values, rather than choose in groups."""

    def get(self, key: Sequence[Hashable], sources: Sequence[Any], make: Callable[[], Any]) -> Any:
        """Return what `make` has returned for this key and these sources, or does now."""
        if not all(type(source).__module__.startswith(_HYDRAS_OWN) for source in sources):
            self.is_kept = False
            return make()
        places = tuple((type(source), source.provider, source.path) for source in sources)
        place = (*key, places)
        data = self._values.get(place)
        if data is None:
            value = make()
            self._values[place] = _frozen(value)
            return value
        return pickle.loads(data) if isinstance(data, bytes) else copy.deepcopy(data[0])  # noqa: S301


def _frozen(value: Any) -> bytes | tuple[Any]:
    """Return the value as bytes, of which copies are made fastest."""
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001  as of a structured config whose class no name leads to
        return (copy.deepcopy(value),)


class _Repository(ConfigRepository):  # type: ignore[misc]  # Hydra is untyped here
    """Hydra's repository, which reads each file once."""

    def __init__(self, sources: list[Any], parts: ConfigParts) -> None:
        self.sources = sources
        self.parts = parts

    def __deepcopy__(self, memo: Any) -> _Repository:
        """Return the one of a composition, which may give it other sources."""
        return _Repository(self.sources, self.parts)

    def load_config(self, config_path: str) -> Any:
        """Return what the first source that has the configuration says, or None."""
        return self._get("config", config_path, super().load_config)

    def group_exists(self, config_path: str) -> bool:
        """Tell whether any source has a group of this name."""
        return bool(self._get("is group", config_path, super().group_exists))

    def config_exists(self, config_path: str) -> bool:
        """Tell whether any source has a configuration of this name."""
        return bool(self._get("is config", config_path, super().config_exists))

    def _get(self, kind: str, path: str, answer: Callable[[str], Any]) -> Any:
        return self.parts.get((kind, path), self.sources, lambda: answer(path))


def _kept_defaults_list(
    repo: Any, config_name: Any, overrides_list: Any, prepend_hydra: bool, skip_missing: bool
) -> Any:
    """Return the defaults list, which those overrides alone decide about that choose in groups."""
    overrides = Overrides(repo, overrides_list)
    values = {id(override) for override in overrides.config_overrides}
    parts: ConfigParts = repo.delegate.parts
    parts.value_lines = frozenset(override.input_line for override in overrides.config_overrides)
    group_lines = tuple(
        group_override.input_line
        for group_override in overrides_list
        if id(group_override) not in values
    )
    key = ("defaults", config_name, group_lines, prepend_hydra, skip_missing)
    defaults = parts.get(
        key,
        repo.get_sources(),
        lambda: create_defaults_list(
            repo, config_name, overrides_list, prepend_hydra, skip_missing
        ),
    )
    return replace(defaults, config_overrides=overrides.config_overrides)


def _with_globals(function: Any, **names: Any) -> Any:
    """Return a function that differs in what these of its module's names mean."""
    space = {**function.__globals__, **names}
    copied = FunctionType(
        function.__code__, space, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


class ParsedOverrides:
    """Stands for `OverridesParser` where overrides are parsed, most of which are those of the job
    before.
    """

    def __init__(self) -> None:
        self._parser = OverridesParser.create()
        self._overrides: dict[str, Override] = {}

    def create(self) -> ParsedOverrides:
        """Return what parses."""
        return self

    def parse_overrides(self, overrides: list[str]) -> list[Override]:
        """Return the overrides, which are the caller's own."""
        return [copy.copy(self._parsed(text, overrides)) for text in overrides]

    def _parsed(self, text: str, overrides: list[str]) -> Override:
        override = self._overrides.get(text)
        if override is None:
            try:
                (override,) = self._parser.parse_overrides([text])
            except Exception:
                self._parser.parse_overrides(overrides)  # whose error says which it is
                raise
            if type(override.value()) in _CONSTANT:
                self._overrides[text] = override
        return override


_CONSTANT = frozenset({str, int, float, bool, type(None)})


@functools.cache
def _source_node(path: str, schema: str, provider: str) -> Any:
    return OmegaConf.structured(ConfigSourceInfo(path, schema, provider))


def _source_info(path: str, schema: str, provider: str) -> Any:
    """Return what stands for `ConfigSourceInfo` of these, which omegaconf reads faster."""
    return copy_of(_source_node(path, schema, provider))


_SWEEP_METHOD = "load_sweep_config"
_METHODS = (
    _SWEEP_METHOD,
    "_load_configuration_impl",
    "_parse_overrides_and_create_caching_repo",
)
"""Of Hydra's loader, which go by other names of its module."""
_SWEEP_CHECK = "_ensure_sweep_config_controller_unchanged"


class Composer(ConfigLoaderImpl):  # type: ignore[misc]  # Hydra is untyped here
    """Hydra's loader, which merges what a defaults list names once."""

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self.__dict__.update(vars(loader))
        self.parts = ConfigParts()
        self.bases = ConfigBases()
        self.repository = _Repository(loader.repository.get_sources(), self.parts)
        self.parser = ParsedOverrides()
        for name in _METHODS:
            function = getattr(ConfigLoaderImpl, name)
            own = _with_globals(
                function,
                create_defaults_list=_kept_defaults_list,
                OverridesParser=self.parser,
                ConfigSourceInfo=_source_info,
            )
            self.__dict__[name] = MethodType(own, self)
        self._compose = self.__dict__.pop(_SWEEP_METHOD)

    @staticmethod
    def can_replace(loader: Any) -> bool:
        """Tell whether a loader is Hydra's own."""
        return (
            type(loader) is ConfigLoaderImpl
            and type(loader.repository) is ConfigRepository
            and all(hasattr(loader, name) for name in _METHODS)
        )

    def load_sweep_config(self, master_config: Any, sweep_overrides: list[str]) -> Any:
        """Return the configuration of a job, by one of another job where that is possible."""
        hydras: Any = OmegaConf.to_container(master_config.hydra.overrides.hydra)
        try:
            overrides = self.parser.parse_overrides([*hydras, *sweep_overrides])
        except Exception:  # noqa: BLE001  which Hydra raises below
            return self._compose(master_config, sweep_overrides)
        config = self.bases.config(overrides)
        if config is None:
            self.parts.is_kept = True
            config = self._compose(master_config, sweep_overrides)
            if self.parts.is_kept:
                self.bases.add(config, overrides, self.parts.value_lines)
            return config
        if hasattr(self, _SWEEP_CHECK):  # since Hydra 1.4
            getattr(self, _SWEEP_CHECK)(master_config=master_config, sweep_config=config)
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _compose_config_from_defaults_list(self, defaults: Any, repo: Any) -> Any:
        merge = super()._compose_config_from_defaults_list
        names = ("merged", *(astuple(default) for default in defaults))
        return self.parts.get(names, repo.get_sources(), lambda: merge(defaults, repo))
