"""A hook at the first import of a module: the one way in which runslot reaches into libraries that
it does not import.

What it is for: seeds (`execute.functions`), the loggers of the ancestors (`logger.ancestors`),
RLKit's device (`launchkit.here`). A module that is loaded is handed over at once; one that is not,
right after it has executed, before the `import` statement of the user's code goes on. Nothing is
imported for it.

What must stay true: a hook calls once for each name, in the process that made it alone (a worker
that is forked has chance of its own), and leaves no trace: the module keeps its own loader and
spec.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Call = Callable[[ModuleType], None]


class FirstImport:
    """Calls for modules, by full name: at once for those that are loaded, later for the others,
    until `remove`.

    What a call raises, the user's `import` raises.
    """

    def __init__(self, calls: Mapping[str, Call]) -> None:
        self._pid = os.getpid()
        self._waiting = dict(calls)
        for name in calls:
            module = sys.modules.get(name)
            if module is not None:
                self._waiting.pop(name)(module)
        if self._waiting:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Leave later imports alone."""
        self._waiting.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders give, with a loader that calls; None for every
        other module.
        """
        if name not in self._waiting or os.getpid() != self._pid:
            return None
        # another hook below wraps it in turn
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _CallingLoader(spec, self._take)  # type: ignore[assignment]  # a loader by its methods
                return spec
        return None

    def _take(self, name: str) -> Call | None:
        call = self._waiting.pop(name, None)
        if not self._waiting:
            self.remove()
        return call


class _CallingLoader:
    """A module's own loader, and then the call; everything else that is asked of a loader goes to
    the module's own.
    """

    def __init__(self, spec: ModuleSpec, take: Callable[[str], Call | None]) -> None:
        self._loader: Any = spec.loader
        self._take = take

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        call = self._take(module.__name__)
        if call is not None:
            call(
                sys.modules.get(module.__name__, module)
            )  # a module may put another object in its place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
