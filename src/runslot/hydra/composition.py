"""The configurations of a batch of jobs, as Hydra's own loader composes them.

`launch` makes a `ComposedConfigs` of a multirun: Hydra's sweepers compose every job to check it,
and its launch takes what they have composed. `composer` has what spares Hydra work that it has done
before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from runslot.hydra.node_copy import quick_copies


class ComposedConfigs:
    """Keeps what Hydra's sweepers compose to check a batch: its launch needs the same."""

    def __init__(self, loader: Any, config: Any) -> None:
        self._loader = loader
        self._config = config
        self._configs: dict[tuple[str, ...], Any] = {}
        self._composer = loader
        self.parser: Any = OverridesParser.create()
        """Parses overrides, and remembers those that were composed."""
        self.expect()

    def expect(self) -> None:
        """Keep what is composed from now on, until `restore`."""
        self._composer = composer_of(self._loader)
        self.parser = getattr(self._composer, "parser", self.parser)
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
        with quick_copies():
            if composer is self._loader:  # whose own name for it is `_load`
                return type(composer).load_sweep_config(composer, config, overrides)
            return composer.load_sweep_config(config, overrides)


def composer_of(loader: Any) -> Any:
    """Return a loader that composes as this one, and remembers what it has read and merged."""
    try:
        from runslot.hydra.composer import Composer
    except ImportError:  # a Hydra that is made otherwise inside
        return loader
    return Composer(loader) if Composer.can_replace(loader) else loader
