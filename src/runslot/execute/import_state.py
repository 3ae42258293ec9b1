"""What the import of the user's modules left behind that every run would share and no cold start
would.

A template has an `ImportState` around the import. Generators of chance that were seeded are the
same in every cold start too, and are shared rightly; those that were not are made anew in each run
(`freshen`, called there). What cannot be made anew (a file, a temporary directory, a number drawn,
the time) is a `reason` to start cold. The global generators of `random`, NumPy and torch matter
only where the import drew from them: each run seeds them.

Only the user's own modules are looked into: those outside the standard library and `site-packages`.
What their code calls at import is in `execute.import_calls`.
"""

from __future__ import annotations

import builtins
import os
import random
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from runslot.execute.import_calls import find_call, source_of
from runslot.execute.module_values import held_values

_LIBRARIES = (
    f"{Path(os.__file__).parent}{os.sep}",
    f"{Path(__file__).resolve().parents[1]}{os.sep}",
)
"""Where the standard library lies, and runslot."""

_IDENTITIES = {
    ("uuid", "UUID"): "a UUID",
    ("tempfile", "TemporaryDirectory"): "a temporary directory",
    ("tempfile", "_TemporaryFileWrapper"): "a temporary file",
    ("tempfile", "SpooledTemporaryFile"): "a temporary file",
    ("socket", "socket"): "a socket",
    ("_io", "TextIOWrapper"): "an open file",
    ("_io", "BufferedWriter"): "an open file",
    ("_io", "BufferedReader"): "an open file",
    ("_io", "BufferedRandom"): "an open file",
    ("_io", "FileIO"): "an open file",
    ("sqlite3", "Connection"): "a connection of sqlite3",
    ("subprocess", "Popen"): "a process",
    ("concurrent.futures.thread", "ThreadPoolExecutor"): "a pool of threads",
    ("concurrent.futures.process", "ProcessPoolExecutor"): "a pool of processes",
    ("multiprocessing.pool", "Pool"): "a pool of processes",
    ("multiprocessing.pool", "ThreadPool"): "a pool of threads",
    ("multiprocessing.synchronize", "SemLock"): "a lock of multiprocessing",
    ("multiprocessing.sharedctypes", "SynchronizedBase"): "shared memory",
    ("multiprocessing.shared_memory", "SharedMemory"): "shared memory",
    ("multiprocessing.queues", "Queue"): "a queue of multiprocessing",
    ("multiprocessing.queues", "SimpleQueue"): "a queue of multiprocessing",
    ("multiprocessing.connection", "_ConnectionBase"): "a pipe",
    ("multiprocessing.managers", "BaseManager"): "a process of multiprocessing",
    ("mmap", "mmap"): "a memory map",
}
"""Classes, by module and name, of which a forked process must not have its parent's object."""

_BIT_GENERATOR = ("numpy.random.bit_generator", "BitGenerator")
_SEED_SEQUENCE = ("numpy.random.bit_generator", "SeedSequence")

_GENERATORS = {
    ("random", "Random"),
    ("numpy.random._generator", "Generator"),
    ("numpy.random.mtrand", "RandomState"),
    ("torch._C", "Generator"),
    _BIT_GENERATOR,
    _SEED_SEQUENCE,
}

_WHOLES = frozenset({*_GENERATORS, *_IDENTITIES})
_STREAMS = (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)

_TORCH_SEED_BITS = 32
_NUMPY_SEED_BITS = 64
"""Longer seeds than people give: torch draws one of 64 bits from the system, NumPy one of 128."""


class ImportState:
    """What was there before the import; afterwards `examine` says what the import left."""

    def __init__(self) -> None:
        self._modules = dict(sys.modules)
        self._files = set(_open_files())
        self._children = _children()
        self._unseeded: list[tuple[random.Random, Any]] = []
        """Generators of the standard library that the system seeded, with the state that each had
        then.
        """
        self._seed = random.Random.seed
        self._draws = _GlobalDraws()

    def __enter__(self) -> ImportState:
        """Watch which generators of the standard library are seeded by the system."""
        seed, unseeded = self._seed, self._unseeded

        def watched(generator: random.Random, a: Any = None, version: int = 2) -> None:
            seed(generator, a, version)
            unseeded[:] = [entry for entry in unseeded if entry[0] is not generator]
            if a is None and not isinstance(generator, random.SystemRandom):
                unseeded.append((generator, generator.getstate()))

        self._draws.begin()
        random.Random.seed = watched  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        random.Random.seed = self._seed  # type: ignore[method-assign]
        self._draws.end()

    def examine(self, function: Any) -> tuple[str, tuple[str, ...]]:
        """Return the reason to start cold, or an empty string, and what each run makes anew."""
        _renewals.clear()
        new = {
            id(module): module
            for name, module in list(sys.modules.items())
            if self._modules.get(name) is not module
        }
        modules = [module for module in new.values() if is_own(module)]
        values = list(held_values(modules, function if _has_travelled(function) else None, _WHOLES))
        plain = {id(generator): state for generator, state in self._unseeded}
        chance = {
            name: (value, is_drawn)
            for name, value in values
            if (is_drawn := _drawn(value, plain)) is not None
        }
        if _has_travelled(function):  # what was drawn was drawn at the launch
            chance = {name: (value, False) for name, (value, _) in chance.items()}
        _renewals[:] = [value for value, _ in chance.values()]
        reason = (
            next(
                (
                    f"importing it made {identity} ({name})"
                    for name, value in values
                    if (identity := _identity(value))
                ),
                "",
            )
            or ("importing it started a process" if _children() - self._children else "")
            or _opened(self._files)
            or find_call(modules)
            or next(
                (
                    f"importing it drew from {name}, which has no seed"
                    for name in chance
                    if chance[name][1]
                ),
                "",
            )
            or self._draws.reason()
        )
        return reason, tuple(chance)


_renewals: list[Any] = []
"""Generators that the import left unseeded: each run makes them anew."""


def freshen() -> None:
    """Make anew, in the process of a run, the generators that the import left unseeded."""
    for generator in _renewals:
        bits = getattr(generator, "bit_generator", None) or getattr(
            generator, "_bit_generator", None
        )
        if bits is None:
            generator.seed()  # of the standard library, torch
        else:
            generator.__init__(type(bits)())  # in place: the module's functions have it


def renew_travelled(function: Any) -> None:
    """Make anew, in a cold start, NumPy's generators without a seed that a function by value came
    with.
    """
    if _has_travelled(function):
        _renewals[:] = [
            value
            for _, value in held_values([], function, _WHOLES)
            if _drawn(value, {}) is not None
        ]
        freshen()


def note_renewals() -> tuple[str, ...]:
    """As a fork of the launching process: note NumPy's generators without a seed that the user's
    modules hold, for each run to make anew; returns where they stand.
    """
    modules = [module for module in list(sys.modules.values()) if is_own(module)]
    values = {
        name: value
        for name, value in held_values(modules, None, _WHOLES)
        if _drawn(value, {}) is not None
    }
    _renewals[:] = values.values()
    return tuple(values)


def is_chance(value: Any) -> bool:
    """Tell whether this is a generator, or what one process alone may have: no value to give to
    another process.
    """
    names = set(_names(value))
    return bool(names & _GENERATORS) or bool(_identity(value))


def is_own(module: Any) -> bool:
    """Tell whether a module is the user's: a file outside the standard library, site packages and
    runslot.
    """
    return isinstance(module, ModuleType) and _is_own_file(getattr(module, "__file__", None))


def _is_own_file(file: str | None) -> bool:
    if not file or file.startswith(_LIBRARIES):
        return False
    return "site-packages" not in file and "dist-packages" not in file


def _has_travelled(function: Any) -> bool:
    """Tell whether a function came by value: its globals are no module's."""
    if not isinstance(function, FunctionType):
        return False
    module = sys.modules.get(function.__module__ or "")
    return module is None or vars(module) is not function.__globals__


def _names(value: Any) -> list[tuple[str, str]]:
    return [(kind.__module__, kind.__name__) for kind in type(value).__mro__]


def _identity(value: Any) -> str:
    """Return what this is where a forked process must not have its parent's, or an empty string."""
    names = _names(value)
    if _BIT_GENERATOR in names:
        return "" if _is_seeded(value.seed_seq) else "a bit generator without a seed"
    if _SEED_SEQUENCE in names:
        return "" if _is_seeded(value) else "a seed sequence without a seed"
    identity = next((_IDENTITIES[name] for name in names if name in _IDENTITIES), "")
    if (
        not identity
        or any(value is stream for stream in _STREAMS)
        or getattr(value, "closed", False) is True
    ):
        return ""
    return identity


def _drawn(value: Any, plain: dict[int, Any]) -> bool | None:
    """Tell whether a generator without a seed was drawn from; None for all that is none."""
    if issubclass(type(value), random.Random):
        return value.getstate() != plain[id(value)] if id(value) in plain else None
    names = _names(value)
    if ("torch._C", "Generator") in names:
        seed = value.initial_seed()
        same = bytes(type(value)().manual_seed(seed).get_state()) == bytes(value.get_state())
        return (
            not same if seed >> _TORCH_SEED_BITS and seed != type(value)().initial_seed() else None
        )
    if ("numpy.random._generator", "Generator") in names:
        bits = value.bit_generator
    elif ("numpy.random.mtrand", "RandomState") in names and value is not _global_numpy():
        bits = value._bit_generator
    else:
        return None
    return None if _is_seeded(bits.seed_seq) else _is_moved(bits)


def _is_moved(bits: Any) -> bool:
    """Tell whether a bit generator of NumPy's has left the state in which its seed puts it."""
    seeds = bits.seed_seq
    again = type(seeds)(seeds.entropy, spawn_key=seeds.spawn_key, pool_size=seeds.pool_size)
    return bool(seeds.n_children_spawned) or repr(type(bits)(again).state) != repr(bits.state)


def _is_seeded(sequence: Any) -> bool:
    """Tell whether NumPy's seed was given; it draws one of 128 bits where none is."""
    entropy = getattr(sequence, "entropy", None)
    if not isinstance(entropy, int) or entropy.bit_length() <= _NUMPY_SEED_BITS:
        return True
    return any(str(entropy) in text or f"{entropy:x}" in text for text in _code())


def _code() -> list[str]:
    modules = [module for module in list(sys.modules.values()) if is_own(module)]
    return [source_of(module).replace("_", "").lower() for module in modules]


def _global_numpy() -> Any:
    return getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)


class _GlobalDraws:
    """Watches whether the user's modules draw from the global generators of NumPy and torch while
    they are imported.

    Some libraries do so when they are imported, for themselves: around the user's `import` of a
    library the states are noted anew.
    """

    def __init__(self) -> None:
        self._states: dict[str, Any] = {}
        self._reason = ""
        self._import = builtins.__import__

    def begin(self) -> None:
        """Watch the user's `import` statements."""

        def watched(  # its parameters are named as the built-in's: some callers name them
            name: str,
            globals: Any = None,
            locals: Any = None,
            fromlist: Any = (),
            level: int = 0,
        ) -> Any:
            if level or not _is_own_file((globals or {}).get("__file__")):
                return self._import(name, globals, locals, fromlist, level)
            self._compare()
            module = self._import(name, globals, locals, fromlist, level)
            if not is_own(sys.modules.get(name)):
                self._states = _global_states()
            return module

        builtins.__import__ = watched

    def end(self) -> None:
        """Leave `import` as it was."""
        builtins.__import__ = self._import

    def reason(self) -> str:
        """Return in words from what was drawn, an empty string for nothing."""
        self._compare()
        return self._reason

    def _compare(self) -> None:
        for name, state in _global_states().items():
            if self._states.get(name, state) != state or (
                name not in self._states and _is_global_moved(name)
            ):
                self._reason = self._reason or f"importing it drew from {name}, which has no seed"


def _global_states() -> dict[str, Any]:
    """Return the states of the global generators that are loaded and have no seed."""
    states: dict[str, Any] = {}
    torch: Any = sys.modules.get("torch")
    numpy = _global_numpy()
    if numpy is not None and numpy._bit_generator.seed_seq is not None:  # None: seeded by hand
        state = numpy.get_state(legacy=False)["state"]
        states["numpy.random"] = (state["pos"], state["key"].tobytes())
    if hasattr(torch, "default_generator") and torch.initial_seed() >> _TORCH_SEED_BITS:
        states["torch's generator"] = bytes(torch.get_rng_state().numpy())
    return states


def _is_global_moved(name: str) -> bool:
    if name == "numpy.random":
        return _is_moved(_global_numpy()._bit_generator)
    torch: Any = sys.modules["torch"]
    return not torch.equal(
        torch.get_rng_state(), torch.Generator().manual_seed(torch.initial_seed()).get_state()
    )


def _children() -> set[str]:
    try:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    except OSError:  # a kernel or a system without it
        return set()


def _open_files() -> dict[str, str]:
    """Return the sockets and regular files that this process has open, by descriptor."""
    targets = {}
    for entry in os.scandir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():  # noqa: PTH112
        try:
            target = os.readlink(entry.path)  # noqa: PTH115
        except OSError:  # the listing's own descriptor
            continue
        if target.startswith(("socket:", "/")) and not target.startswith(
            ("/dev/", "/proc/", "/memfd:")
        ):
            targets[entry.name] = target
    return targets


def _opened(before: set[str]) -> str:
    after = [target for descriptor, target in _open_files().items() if descriptor not in before]
    return (
        f"importing it opened {after[0].split(':')[0]}, which all runs would share" if after else ""
    )
