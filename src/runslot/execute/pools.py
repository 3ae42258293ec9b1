"""Resize the thread pools of numerical libraries that are loaded already.

A new environment changes nothing after an import: a forked process that was given more cores asks
each library itself. The entry points are those that threadpoolctl knows
(github.com/joblib/threadpoolctl); the code is ours.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_SETTERS = {
    "openblas": (
        "openblas_set_num_threads",
        "openblas_set_num_threads64_",
        "scipy_openblas_set_num_threads",
        "scipy_openblas_set_num_threads64_",
    ),
    "libmkl_rt": ("MKL_Set_Num_Threads",),
    "libblis": ("bli_thread_set_num_threads",),
    "libgomp": ("omp_set_num_threads",),
    "libiomp": ("omp_set_num_threads",),
    "libomp": ("omp_set_num_threads",),
}


def resize_pools(threads: int) -> None:
    """Give every loaded BLAS and OpenMP runtime, and torch, `threads` threads."""
    for setter in find_pools():
        setter(threads)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(threads)


@functools.cache
def find_pools() -> tuple[Callable[[int], object], ...]:
    """Return what sets the number of threads of each runtime that is loaded when this is first
    called.

    A template asks before it forks: to look through the memory map of a process with torch takes
    milliseconds. What is loaded later reads the environment.
    """
    pools = []
    for library, names in _loaded():
        for name in names:
            setter = getattr(library, name, None)
            if setter is not None:
                setter.argtypes = (ctypes.c_int,)
                pools.append(setter)
    return tuple(pools)


def _loaded() -> Iterator[tuple[ctypes.CDLL, tuple[str, ...]]]:
    try:
        maps = Path("/proc/self/maps").read_text(errors="surrogateescape")
    except OSError:
        return
    paths = {
        line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count("/") and ".so" in line
    }
    for path in paths:
        for mark, names in _SETTERS.items():
            if mark in Path(path).name:
                yield ctypes.CDLL(path), names
