"""The template: a process that keepers are forked from, one for each slot that runs its work.

Bare, it is a small interpreter, so that a command has next to nothing around it. With a function,
it has imported the function's module once, and every run starts as a fork of that (as
multiprocessing's forkserver does). When its channel closes it ends; its keepers go on with the runs
they have, and until then it is their guardian.
"""

from __future__ import annotations

import gc
import importlib
import linecache
import os
import resource
import signal
import sys
import traceback
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.execute.cgroup import enclose, group_of, sweep
from runslot.execute.channel import Channel
from runslot.execute.evidence import kill_count
from runslot.execute.guardian import Guardian
from runslot.execute.keeper import WATCHED
from runslot.execute.pools import find_pools
from runslot.execute.run_mark import find_room
from runslot.execute.slot_keeper import SlotKeeper
from runslot.experiment.processes import ProcessIdentity, identify, start_time
from runslot.experiment.records import Function

_SURVIVING = frozenset({"jemalloc_bg_thd"})
"""Threads whose library starts them again in a fork (jemalloc's `pthread_atfork` handlers; pyarrow
brings it).
"""

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main(descriptor: int, package: str, open_files: int) -> None:
    """Serve on the socket with this file descriptor; the runs may have so many files open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    find_room()
    Template(Channel.of(descriptor), package).serve()


class Template:
    """The state of the process: its channel, and the function it imported."""

    def __init__(self, channel: Channel, package: str) -> None:
        self._channel = channel
        self._package = package
        self._function: Callable[..., Any] | None = None
        self._guardian = Guardian()
        self._finalizers: list[weakref.finalize[..., Any]] = []
        """Of what the import made: this process carries them out at its end, not the first run that
        ends.
        """

    def serve(self) -> None:
        """Answer messages until the launcher is gone."""
        kill_count()
        group_of(identify())  # what it looks up of this machine is kept, for all the keepers
        gc.freeze()
        self._guardian.begin()
        while True:
            message, descriptors = self._channel.receive()
            if message is None:
                self._end()
                return
            match message.pop("verb"):
                case "print":
                    answer = _print_to(*descriptors)
                case "import":
                    answer = self._import(**message)
                case "keeper":
                    answer = self._fork_keeper(*descriptors)
                case verb:
                    answer = {"failed": f"unknown verb {verb!r}"}
            self._channel.send(answer)

    def _end(self) -> None:
        """End; as long as keepers have runs, stay as their guardian."""
        stays = self._guardian.see_off()
        self._channel.send({"stays": stays})
        self._channel.close()
        if stays:
            self._guardian.stay()
        sweep()
        for finalizer in self._finalizers:
            finalizer.atexit = True

    def _keep_finalizers(self) -> None:
        # A temporary directory made by the module is every run's; and torch's finalizers take a run
        # 30 ms.
        registry: Iterable[weakref.finalize[..., Any]] = weakref.finalize._registry  # type: ignore[attr-defined]
        self._finalizers = [each for each in registry if each.atexit]
        for finalizer in self._finalizers:
            finalizer.atexit = False

    def _import(
        self, function: dict[str, Any], home: str, path: list[str], cwd: str
    ) -> dict[str, Any]:
        # A bare template, which every keeper of scripts is a fork of, stays small; and nothing of
        # the user's path is taken for what these load.
        from runslot.execute.cold import enter_import_path
        from runslot.execute.functions import find_function
        from runslot.execute.import_failure import describe_failure, missing_module
        from runslot.execute.import_state import ImportState

        values = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(
            dict.fromkeys(_ONE_THREAD, "1")
        )  # pools without threads: a fork loses threads
        os.chdir(cwd)
        enter_import_path(tuple(path), self._package)
        try:
            with ImportState() as state:
                self._function = find_function(Function.from_json(function), Path(home))
            reason, renewed = state.examine(self._function)
            importlib.import_module("runslot.logger")  # every run will need it
            if "numpy" in sys.modules:
                importlib.import_module(
                    "numpy.random"
                )  # to seed it; numpy would load it in every run anew
            find_pools()
            if "torch" in sys.modules:
                _rehearse_seeding()
        except RunslotError as error:  # says itself what is wrong
            return {"failed": str(error)}
        except BaseException as error:  # noqa: BLE001  the user's module may raise anything; the launcher says it
            failure = describe_failure(error).rstrip()
            return {
                "failed": "\n".join(
                    filter(None, (failure, missing_module(failure, sys.executable)))
                )
            }
        finally:
            for name, value in values.items():
                _set_or_unset(name, value)
        self._keep_finalizers()
        self._guardian.spare_children()
        gc.collect()
        gc.freeze()  # so that the forks share what was imported
        return {"unsafe": why_unsafe_to_fork() or reason, "renewed": renewed}

    def _fork_keeper(self, descriptor: int) -> dict[str, Any]:
        sys.stdout.flush()
        sys.stderr.flush()
        # A stop may come before the keeper has begun the run that it is for: it waits until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            os.close(descriptor)
            return {"failed": str(error), "errno": error.errno}
        if pid == 0:
            self._become_keeper(descriptor)
        os.close(descriptor)
        self._guardian.keep(pid)
        began = start_time(pid)
        if began is not None and group_of(ProcessIdentity("", "", pid, began)) is not None:
            self._fork_encloser(pid, began)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        return {"pid": pid, "start_time": began}

    def _fork_encloser(self, pid: int, began: int) -> None:
        try:
            helper = os.fork()
            if helper == 0:
                self._enclose(pid, began)
            self._guardian.spare(helper)
        # no further process: then what a killed keeper leaves is known by its environment
        except OSError:
            return

    def _enclose(self, pid: int, began: int) -> None:
        """As a fork that has nothing else to do: give the keeper a control group of its own."""
        try:
            self._guardian.leave()
            self._channel.close()
            enclose(ProcessIdentity("", "", pid, began))
        finally:
            os._exit(0)

    def _become_keeper(self, descriptor: int) -> None:
        code = 1
        try:
            self._guardian.leave()
            self._channel.close()
            os.setsid()
            SlotKeeper(Channel.of(descriptor), self._function).serve()
            code = 0
        except BaseException:  # noqa: BLE001  into the launcher's log: this process has nobody else to tell
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def why_unsafe_to_fork() -> str:
    """Return why forks of this process may not work, or an empty string."""
    if sys.platform == "darwin":
        return "on macOS the system's frameworks do not survive a fork"
    for thread in Path("/proc/self/task").glob("*"):
        name = (thread / "comm").read_text().strip()
        if thread.name != str(os.getpid()) and name not in _SURVIVING:
            return f"importing it started threads ({name}), which a fork does not have"
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            target = str(entry.readlink())
        except OSError:  # the listing's own descriptor
            continue
        if target.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri")):
            return f"importing it opened the GPU ({target})"
    return ""


def _rehearse_seeding() -> None:
    """Seed torch once, and leave it as it was: what that loads, every run would load anew.

    Before CUDA is there torch notes who asked, with the lines of source.
    """
    import torch

    state = torch.get_rng_state()
    torch.manual_seed(torch.initial_seed())
    torch.set_rng_state(state)
    for module in ("slot_keeper", "keeper", "process", "functions"):
        linecache.getlines(str(Path(__file__).with_name(f"{module}.py")))


def _print_to(descriptor: int) -> dict[str, Any]:
    """Have this process's output, and what it forks inherits, go to a file from now on."""
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
    return {}


def _set_or_unset(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
