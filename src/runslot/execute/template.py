"""The template: a process that keepers are forked from, one for each slot that runs its work.

Bare, it is a small interpreter, so that a command has next to nothing around it. With a function,
it has imported the function's module once, and every run starts as a fork of that (as
multiprocessing's forkserver does). When its channel closes it ends; its keepers go on with the runs
they have, and until then it is their guardian: the process above them, as a subreaper, to which the
kernel gives what a killed keeper leaves behind, whatever session, environment and descriptors that
has chosen. It is killed at once, so that no cores are given away while something computes on them.
When the launcher is gone, the template stays until the last of its keepers has ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import linecache
import os
import resource
import signal
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.execute.channel import Channel
from runslot.execute.evidence import kill_count
from runslot.execute.keeper import WATCHED
from runslot.execute.leftovers import enclose, group_of, sweep
from runslot.execute.placement import find_pools
from runslot.execute.slot_keeper import SlotKeeper
from runslot.execute.spawn import become_subreaper, find_room
from runslot.experiment.processes import (
    ProcessIdentity,
    children_of,
    identify,
    name_of_process,
    start_time,
)
from runslot.experiment.records import Function

_SURVIVING = frozenset({"jemalloc_bg_thd"})
"""Threads whose library starts them again in a fork (jemalloc's `pthread_atfork` handlers; pyarrow
brings it).
"""

_GPU_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri")
_GPU_LIBRARIES = ("/libEGL_nvidia", "/libGLX_nvidia", "/libnvidia-glcore", "/libnvidia-opencl")
"""What else than CUDA opens NVIDIA's GPUs."""
_SURVIVING_GPU = ("cuda0",)
"""How the names of threads begin that the management library starts and forks can do without."""
_CUDA_NOT_INITIALIZED = 3
"""CUDA_ERROR_NOT_INITIALIZED, of the CUDA Driver API."""

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main(descriptor: int, package: str, open_files: int) -> None:
    """Serve on the socket with this file descriptor; the runs may have so many files open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    find_room()
    Template(Channel.of(descriptor), package).serve()


class Template:
    """The state of the process: its channel, and the function it imported, or was forked with."""

    def __init__(
        self, channel: Channel, package: str, function: Callable[..., Any] | None = None
    ) -> None:
        self._channel = channel
        self._package = package
        self._function = function
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
                    answer = self._import(message)
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
        self._finalizers = [entry for entry in registry if entry.atexit]
        for finalizer in self._finalizers:
            finalizer.atexit = False

    def _import(self, message: dict[str, Any]) -> dict[str, Any]:
        # A bare template, which every keeper of scripts is a fork of, stays small; and nothing of
        # the user's path is taken for what these load.
        from runslot.execute.functions import find_function
        from runslot.execute.import_failure import describe_failure, missing_module
        from runslot.execute.import_state import ImportState
        from runslot.execute.process import enter_import_path

        # Pools without threads, for a fork loses threads; and as many GPUs as a run will see.
        settings = {**dict.fromkeys(_ONE_THREAD, "1"), **message["environment"]}
        values = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        os.chdir(message["cwd"])
        enter_import_path(tuple(message["path"]), self._package)
        try:
            with ImportState() as state:
                self._function = find_function(
                    Function.from_json(message["function"]), Path(message["home"])
                )
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


def why_unsafe_to_fork(cause: str = "importing it") -> str:
    """Return why forks of this process may not work, or an empty string."""
    if sys.platform == "darwin":
        return "on macOS the system's frameworks do not survive a fork"
    gpus = [target for target in _open_targets() if target.startswith(_GPU_DEVICES)]
    surviving = _SURVIVING_GPU if gpus and _is_nvml_alone() else ()
    if gpus and not surviving:
        return f"{cause} opened the GPU ({gpus[0]})"
    for name in lost_threads(surviving).values():
        return f"{cause} started threads ({name}), which a fork does not have"
    return ""


def lost_threads(surviving: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the names of the threads that a fork of this process lacks, by their ids; those that
    begin with `surviving` it can do without.
    """
    names: dict[str, str] = {}
    for thread in Path("/proc/self/task").glob("*"):
        try:
            name = (thread / "comm").read_text().strip()
        except OSError:  # it has ended since it was listed
            continue
        survives = name in _SURVIVING or name.startswith(surviving)
        if thread.name != str(os.getpid()) and not survives:
            names[thread.name] = name
    return names


def _open_targets() -> Iterator[str]:
    for entry in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # the listing's own descriptor
            yield str(entry.readlink())


def _is_nvml_alone() -> bool:
    """Tell whether it is NVIDIA's management library alone that has opened the GPU, as where torch
    was asked whether there is one: CUDA begins in each fork then, and the library goes on.
    """
    maps = Path("/proc/self/maps").read_text(errors="surrogateescape")
    if "/libnvidia-ml.so" not in maps or any(name in maps for name in _GPU_LIBRARIES):
        return False
    if "/libcuda.so" not in maps:
        return True
    count = ctypes.c_int()
    return bool(
        ctypes.CDLL("libcuda.so.1").cuDeviceGetCount(ctypes.byref(count)) == _CUDA_NOT_INITIALIZED
    )


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


_FAREWELL_S = 0.1
"""Seconds in which a keeper that has nothing to do has ended."""
_END_S = 2.0
"""Seconds in which killed processes are gone, short of those in uninterruptible sleep."""
_PERIOD_S = 1.0
"""Between looks at what does not end."""


_MONITORS = frozenset({"conmon", "podman"})
"""What podman leaves above a container: it ends with the container, whose own first process ends
when its keeper is gone, and it alone takes the container out of podman's books.
"""


class Guardian:
    """Knows which children of this process are keepers, and ends those that keepers left."""

    def __init__(self) -> None:
        self._keepers: set[int] = set()
        self._helpers: set[int] = set()
        """Children that no keeper left: helpers of this process, and what the user's module started
        at its import.
        """
        self._inherits = False
        """Whether a keeper was killed: only then is there anything to inherit."""
        self._hearing = self._has_news = False

    def begin(self) -> None:
        """Become the one to which orphans come, and hear of every child that ends."""
        become_subreaper()
        signal.signal(signal.SIGCHLD, self._hear)

    def leave(self) -> None:
        """In a fork: hear of no child any more, and be nobody's guardian."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def keep(self, keeper: int) -> None:
        """Take note of a keeper; call it with SIGCHLD blocked since the fork."""
        self._keepers.add(keeper)

    def spare(self, *pids: int) -> None:
        """Take note of children that are none of a keeper's."""
        self._helpers.update(pids)

    def spare_children(self) -> None:
        """Take note that what this process has started so far is none of a keeper's."""
        self.spare(*(set(children_of(os.getpid())) - self._keepers))

    def see_off(self) -> bool:
        """Wait a moment for keepers without a run, which end when their launcher does; tell whether
        others are left.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        deadline = time.monotonic() + _FAREWELL_S
        while self._reap() and time.monotonic() < deadline:
            time.sleep(0.0005)
        return bool(self._keepers)

    def stay(self) -> None:
        """Guard the keepers that are left until the last has ended; after `see_off`."""
        while self._reap():
            signal.sigtimedwait({signal.SIGCHLD}, _PERIOD_S)

    def _hear(self, _number: int, _frame: object) -> None:
        # Python may call this again in its middle: what another child's end brings is seen to in
        # the next round.
        self._has_news = True
        if self._hearing:
            return
        self._hearing = True
        try:
            while self._has_news:
                self._has_news = False
                self._reap()
        finally:
            self._hearing = False

    def _reap(self) -> bool:
        """Take the exit status of every child that ended, end what a killed keeper left; tell
        whether any is left.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._keepers.clear()
                return False
            if pid == 0:
                break
            self._helpers.discard(pid)
            if pid in self._keepers:
                self._keepers.discard(pid)
                self._inherits |= status != 0  # one that ends by itself has left nothing
        stuck = self._inherits and self._end_orphans()
        return bool(self._keepers) or stuck

    def _end_orphans(self) -> bool:
        """Kill what came from keepers, and what that leaves in turn; tell whether some of it has
        not ended yet.
        """
        deadline = time.monotonic() + _END_S
        while rest := set(children_of(os.getpid())) - self._keepers - self._helpers:
            orphans = {pid for pid in rest if name_of_process(pid) not in _MONITORS}
            if not orphans:
                return True
            for pid in orphans:
                os.kill(
                    pid, signal.SIGKILL
                )  # this process's child, and not reaped yet: nobody else has its pid
            for pid in orphans:
                _wait(pid, deadline)
            if time.monotonic() > deadline:
                return True
        return False


def _wait(pid: int, deadline: float) -> None:
    while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.001)
