"""The configurations of a batch of jobs, as Hydra's own loader composes them.

`launch` makes a `ComposedConfigs` of a multirun. To compose takes Hydra longer than to run a job
that does nothing, because it reads the same files and merges the same groups for every job. Here
what was read and merged once is kept until the launch, and every job has a copy of its own. What
must stay true: what is composed and what is refused is what Hydra says; a loader or a source of
configurations that is not one of Hydra's own does all its work each time.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Hashable, Sequence
from dataclasses import astuple
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository

_HYDRAS_OWN = "hydra._internal."


class ComposedConfigs:
    """Keeps what Hydra's sweepers compose to check a batch: its launch needs the same."""

    def __init__(self, loader: Any, config: Any) -> None:
        self._loader = loader
        self._config = config
        self._configs: dict[tuple[str, ...], Any] = {}
        self._composer = loader
        self.expect()

    def expect(self) -> None:
        """Keep what is composed from now on, until `restore`."""
        self._composer = composer_of(self._loader)
        self._loader.load_sweep_config = self._load

    def restore(self) -> None:
        """Have the loader as it was."""
        self._loader.__dict__.pop("load_sweep_config", None)
        self._composer = self._loader
        self._configs.clear()

    def config(self, overrides: Sequence[str]) -> Any:
        """Return the configuration of a job, which is the caller's own."""
        config = self._configs.pop(tuple(overrides), None)
        return self._compose(self._config, list(overrides)) if config is None else config

    def _load(self, master_config: Any, sweep_overrides: list[str]) -> Any:
        config = self._compose(master_config, sweep_overrides)
        if master_config is self._config:
            self._configs[tuple(sweep_overrides)] = config
        return config

    def _compose(self, config: Any, overrides: list[str]) -> Any:
        composer = self._composer
        return type(composer).load_sweep_config(composer, config, overrides)


def composer_of(loader: Any) -> Any:
    """Return a loader that composes as this one, and remembers what it has read and merged."""
    is_known = type(loader) is ConfigLoaderImpl and type(loader.repository) is ConfigRepository
    return _Composer(loader) if is_known else loader


class _Memory:
    """What was read and merged; everybody who asks for it gets a copy."""

    def __init__(self) -> None:
        self._values: dict[Hashable, bytes | tuple[Any]] = {}

    def get(self, key: Sequence[Hashable], sources: Sequence[Any], make: Callable[[], Any]) -> Any:
        """Return what `make` has returned for this key and these sources, or does now."""
        if not all(type(source).__module__.startswith(_HYDRAS_OWN) for source in sources):
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

    def __init__(self, sources: list[Any], memory: _Memory) -> None:
        self.sources = sources
        self._memory = memory

    def __deepcopy__(self, memo: Any) -> _Repository:
        """Return the one of a composition, which may give it other sources."""
        return _Repository(self.sources, self._memory)

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
        return self._memory.get((kind, path), self.sources, lambda: answer(path))


class _Composer(ConfigLoaderImpl):  # type: ignore[misc]  # Hydra is untyped here
    """Hydra's loader, which merges what a defaults list names once."""

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self.__dict__.update(vars(loader))
        self.__dict__.pop("load_sweep_config", None)
        self._memory = _Memory()
        self.repository = _Repository(loader.repository.get_sources(), self._memory)

    def _compose_config_from_defaults_list(self, defaults: Any, repo: Any) -> Any:
        merge = super()._compose_config_from_defaults_list
        names = tuple(astuple(default) for default in defaults)
        return self._memory.get(names, repo.get_sources(), lambda: merge(defaults, repo))
