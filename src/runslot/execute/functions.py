"""Find the user's function, in a file, a module or a cloudpickle file, and call it with the run's
variant.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import random
import sys
from collections.abc import Callable, Mapping
from functools import partial, reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from runslot.errors import InvalidInput, NotInstalled, nearest
from runslot.execute.main_script import place_in_main
from runslot.experiment.records import Function, RunFile
from runslot.experiment.rundir import RunDir
from runslot.first_import import FirstImport

_SEEDING = {
    "numpy.random": "seed",  # which `import numpy` alone may not load
    "torch": "manual_seed",
    "tensorflow": "random.set_seed",
}
"""Modules with a global generator, and their functions that take the seed."""


def find_function(function: Function, home: Path) -> Callable[..., Any]:
    """Import or unpickle the function; `home` is the experiment directory."""
    if function.pickle is not None:
        function_found = unpickle(home / function.pickle)
        place_in_main(function_found)
    else:
        by_name = importlib.import_module
        module = (
            _module_of_file(Path(function.file))
            if function.file
            else by_name(function.module or "")
        )
        function_found = _attribute(module, function)
    if not callable(function_found):
        raise InvalidInput(f"{function} is not a function but a {type(function_found).__name__}")
    return function_found  # type: ignore[no-any-return]  # callable() narrows Any to Any


def unpickle(path: Path) -> Any:
    """Load what cloudpickle wrote."""
    _prefer_own_cloudpickle()
    try:
        return pickle.loads(path.read_bytes())  # noqa: S301  the experiment's own file, as trusted as its code
    except ModuleNotFoundError as error:
        if error.name == "cloudpickle":
            message = (
                f"{path} holds Python objects by value: `pip install cloudpickle` into"
                f" {sys.executable}"
            )
            raise NotInstalled(message) from error
        raise


def _prefer_own_cloudpickle() -> None:
    """Take the cloudpickle that travelled with runslot as one file: an older one of this machine
    may not read it.
    """
    # A zip importer has an archive; without one it was this installation that wrote the file.
    archive = getattr(globals().get("__loader__"), "archive", None)
    if archive is None or "cloudpickle" in sys.modules:
        return
    sys.path.insert(0, archive)
    try:
        importlib.import_module("cloudpickle")
    # it was not installed where the file was made, and so nothing was made with it
    except ImportError:
        pass
    finally:
        sys.path.remove(archive)


def _module_of_file(path: Path) -> ModuleType:
    # Under its own name, as `import` would: classes it defines can then be pickled, also by worker
    # processes.
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _attribute(module: ModuleType, function: Function) -> Any:
    try:
        return reduce(getattr, function.name.split("."), module)
    except AttributeError:
        names = [
            name
            for name, value in vars(module).items()
            if callable(value) and not name.startswith("_")
        ]
        where = function.file or function.module
        raise InvalidInput(
            f"{where} has no function {function.name!r}{nearest(function.name, names)}"
        ) from None


def variant_of(run_dir: RunDir, file: RunFile) -> dict[str, Any]:
    """Return the run's variant, with what the front door adds, as a plain dict of the caller's
    own.
    """
    run = file.run
    if run.payload is None:
        variant: Mapping[str, Any] = run.variant
    else:
        variant = unpickle(run_dir.path / file.home / run.payload)
    return {**variant, **run.extras}


def call_function(
    function: Callable[..., Any], reference: Function, variant: dict[str, Any]
) -> Any:
    """Call it with the variant, or, unpacked, with its items.

    What launchkit adds is left out then, as it did; so is the seed where the function takes none,
    as by RLKit.
    """
    if not reference.unpack:
        return function(variant)
    added = {"exp_id", "exp_prefix", "instance_type", "logger_config"}
    if not _takes(function, "seed"):
        added.add("seed")
    return function(**{key: value for key, value in variant.items() if key not in added})


def _takes(function: Callable[..., Any], name: str) -> bool:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say
        return True
    return any(
        parameter.name == name or parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters
    )


def seed_everything(seed: int | str | None) -> FirstImport | None:
    """Seed `random` now, and numpy, torch and tensorflow: now where they are loaded, else when they
    are first imported.

    The numbers are those of launchkit and RLKit, which load numpy before they seed. JAX has no
    state to seed: its convention is a key, which the function makes from its seed. `remove` of the
    result leaves later imports alone.
    """
    if seed is None:
        return None
    number = int(seed) % 2**32
    random.seed(number)
    return FirstImport(
        {module: partial(_call, function, number) for module, function in _SEEDING.items()}
    )


def set_gpu_mode(use_gpu: bool) -> FirstImport:
    """Tell RLKit's algorithms their device, as its launcher did: the GPU that the run sees first,
    or the CPU.
    """
    return FirstImport({"rlkit.torch.pytorch_util": partial(_call, "set_gpu_mode", use_gpu)})


def _call(name: str, argument: int, module: ModuleType) -> None:
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if callable(function):  # a directory of the user's may have the library's name
        function(argument)
