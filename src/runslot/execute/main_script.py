"""The script that launched, as the `__main__` of the process of a run.

A function of a script's own `__main__`, and what else of it a run needs, is pickled by
`launch.script_pickle` as a call of `main_or_value`. That loads the script as multiprocessing's
`spawn` does, without its main part, so that pools, pickles and names work as when the script is run
by hand. What the main part set travels as it was at the launch.

Where the script cannot be loaded (another machine, a file that was edited, a script that launches
whenever it is loaded), the function comes by value, as from a notebook, and the names that came
with it stand in `__main__`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from runslot.errors import InvalidInput
from runslot.record import record

_AS_SPAWN = "__mp_main__"
"""The name of the main module while it is loaded: its main part is not executed."""


@record
class MainScript:
    """What a process needs in order to have the launching script as its `__main__`."""

    path: str
    digest: str
    """Of the file's content."""
    module: str | None
    """Its name, where it was called as `python -m name`."""
    argv: tuple[str, ...]
    values: Mapping[str, bytes]
    """Pickles of the globals that its main part set or used, by name: those that the run needs."""


_loaded: dict[tuple[str, str], ModuleType | None] = {}
"""The scripts that this process has tried to load, by path and digest."""

_replaced: list[ModuleType | None] = []
"""Main modules before: what they hold is in use."""

scripts_loading: list[str] = []
"""The script that is being loaded, if any."""


def digest_of_script(data: bytes) -> str:
    """Return the hash of a script's content."""
    return hashlib.sha256(data).hexdigest()


def main_or_value(script: MainScript, name: str, by_value: bytes | None) -> Any:
    """Return what the script's `__main__` has under this name, else what came by value."""
    import pickle  # here and below: a launcher makes scripts, and loads none

    module = _main_of(script)
    if module is not None:
        for key in script.values.keys() - _placed:
            _placed.add(key)
            setattr(module, key, pickle.loads(script.values[key]))  # noqa: S301  the experiment's own file
        try:
            return reduce(getattr, name.split("."), module)
        except AttributeError:
            pass
    if by_value is None:
        raise InvalidInput(
            f"{script.path} has no {name!r}, or cannot be loaded here, and it cannot travel by"
            " value"
        )
    return pickle.loads(by_value)  # noqa: S301  the experiment's own file


_placed: set[str] = set()
"""Names that the launch's values have been given to."""


def place_in_main(function: Any) -> None:
    """Let the names that a function by value came with stand in `__main__`, where pickles look for
    them.
    """
    if not isinstance(function, FunctionType) or function.__module__ != "__main__":
        return
    if function.__globals__ is vars(sys.modules["__main__"]):
        return
    module = ModuleType("__main__")
    names = {
        name: value for name, value in function.__globals__.items() if not name.startswith("__")
    }
    vars(module).update({function.__name__: function, **names})
    _become_main(module)


def _main_of(script: MainScript) -> ModuleType | None:
    current = sys.modules["__main__"]
    if getattr(current, "__file__", None) == script.path:
        return current
    key = (script.path, script.digest)
    if key not in _loaded:
        _loaded[key] = _load(script)
    return _loaded[key]


def _load(script: MainScript) -> ModuleType | None:
    try:
        data = Path(script.path).read_bytes()
    except OSError:
        return None
    if digest_of_script(data) != script.digest:
        return None
    module = ModuleType(_AS_SPAWN)
    module.__file__ = script.path
    if script.module is not None:
        module.__spec__ = importlib.util.find_spec(script.module)
        module.__package__ = script.module.rpartition(".")[0]
    previous = sys.modules["__main__"]
    _become_main(module)
    sys.argv[:] = script.argv
    scripts_loading.append(script.path)
    try:
        exec(compile(data, script.path, "exec", dont_inherit=True), vars(module))  # noqa: S102  as `python script` does
    except (Exception, SystemExit) as error:  # noqa: BLE001  the user's code may raise anything
        _become_main(previous)
        import traceback

        reason = "".join(traceback.format_exception_only(error)).strip()
        print(
            f"runslot: {script.path} cannot be loaded for its runs, which get its functions by"
            f" value: {reason}"
        )
        return None
    finally:
        scripts_loading.pop()
    _name_as_main(module, vars(module))
    module.__name__ = "__main__"
    return module


def _become_main(module: ModuleType) -> None:
    _replaced.append(sys.modules.get("__main__"))
    sys.modules["__main__"] = sys.modules[_AS_SPAWN] = module


def _name_as_main(owner: Any, values: Mapping[str, Any]) -> None:
    """Let functions and classes say that they are of `__main__`: what is pickled here is to be read
    by the script.
    """
    for value in list(values.values()):
        if (
            isinstance(value, (FunctionType, type))
            and value.__module__ == _AS_SPAWN
            and value is not owner
        ):
            value.__module__ = "__main__"
            if isinstance(value, type):
                _name_as_main(value, vars(value))
