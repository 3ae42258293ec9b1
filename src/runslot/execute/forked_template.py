"""A template that is a fork of the launching process, and may have its function from there.

`engines.local.fork` makes the fork. What must stay true: no run does at its end what the launching
process registered for its own, and what every run needs is loaded before the first is forked.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import resource
import signal
import sys
import weakref
from collections.abc import Callable
from typing import Any

from runslot.execute.channel import Channel
from runslot.execute.placement import find_pools
from runslot.execute.spawn import take_room
from runslot.execute.template import Template


def serve_fork(descriptor: int, function: Callable[..., Any], open_files: int) -> None:
    """Serve on the socket with this file descriptor; the runs may have so many files open."""
    _prepare(open_files)
    rehearse = getattr(function, "rehearse", None)
    if rehearse is not None:  # while the launcher goes on
        rehearse()
    ForkedTemplate(Channel.of(descriptor), function).serve()


def serve_empty(descriptor: int, package: str, open_files: int) -> None:
    """Serve as one that is told what to import, as one that was started does."""
    _prepare(open_files)
    Template(Channel.of(descriptor), package).serve()


def _prepare(open_files: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    take_room()
    _disinherit()


class ForkedTemplate(Template):
    """A template that was forked with its function."""

    def __init__(self, channel: Channel, function: Callable[..., Any]) -> None:
        super().__init__(channel, "", function)

    def _import(self, message: dict[str, Any]) -> dict[str, Any]:
        """Load what every run will need: the function is here."""
        del message
        from runslot.execute.import_state import note_renewals  # of functions alone

        importlib.import_module("runslot.execute.functions")
        importlib.import_module("runslot.logger")
        if "numpy" in sys.modules:
            importlib.import_module("numpy.random")
        find_pools()
        renewed = note_renewals()
        self._keep_finalizers()
        gc.collect()
        gc.freeze()
        return {"unsafe": "", "renewed": renewed}


def _disinherit() -> None:
    """Let no run do what the launching process will do at its end, and let it do so of its own."""
    atexit._clear()
    finalize: Any = weakref.finalize
    if finalize._registered_with_atexit:
        atexit.register(finalize._exitfunc)
    if "logging" in sys.modules:
        atexit.register(sys.modules["logging"].shutdown)
    if (pools := sys.modules.get("multiprocessing.util")) is not None:
        pools._finalizer_registry.clear()  # as in multiprocessing's own forks
        pools._run_after_forkers()
        atexit.register(pools._exit_function)
