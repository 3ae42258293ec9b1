"""The launching process itself as the template of its next launch.

`runslot.hydra` forks here before it launches: what it has imported, registered and closed over
comes along, and nothing is pickled. So do tasks of batch systems: many start at once on a node, and
a second interpreter would cost each as much as all else. What must stay true: the fork holds no
lock or lease of the launch; nothing of the launching process's own (its threads, its exit handlers,
its terminal) goes on in the fork; it never returns to the caller.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from runslot.engines.local.template import TemplateProcess
from runslot.execute.channel import Channel
from runslot.execute.spawn import PACKAGE, original_limit
from runslot.execute.template import lost_threads, why_unsafe_to_fork
from runslot.experiment.files import DISK_THREAD

_THREAD_END_S = 1.0
"""Seconds in which a thread that has ended is no longer listed."""
_SIGNALS = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


_lasting: dict[str, str] = {}
"""Threads that were still there after a fork, by their ids, and what was said of them: they are
waited for once, not at every launch.
"""


class ForkedProcess:
    """A child of this process, with what a launcher needs of a `Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, or None."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end, and return how it ended."""
        return self._wait(0) or 0

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # somebody else in this process has waited for all children
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def fork_here(function: Callable[..., Any]) -> str:
    """Fork this process as the template that the next launch takes, which has `function`.

    Returns why it cannot be forked, or an empty string. Until the launch, `end_fork` ends it.
    """
    limit = original_limit()

    def serve(descriptor: int) -> None:
        from runslot.execute.forked_template import serve_fork  # while the launcher goes on

        serve_fork(descriptor, function, limit)

    return _fork(serve, bare=False)


def fork_empty(bare: bool) -> str:
    """Fork this process as the template that its launch takes next, for this interpreter: one that
    has imported nothing yet, or is `bare`, for commands.

    Returns why it cannot be forked, or an empty string.
    """
    limit = original_limit()

    def serve(descriptor: int) -> None:
        _close_all_but(descriptor)
        sys.modules["__main__"] = ModuleType("__main__")  # the task's is nothing to a function
        from runslot.execute.forked_template import serve_empty  # while the launcher goes on

        serve_empty(descriptor, PACKAGE, limit)

    return _fork(serve, bare)


def _fork(serve: Callable[[int], None], bare: bool) -> str:
    """Fork a template that serves so on a socket's descriptor; returns why not, or nothing."""
    if reason := _why_not():
        return reason
    channel, far_end = Channel.pair()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with warnings.catch_warnings():
        # Python warns of threads; whether any is left that a fork would lack is looked at below.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _become_template(channel, far_end.detach(), serve)
    far_end.close()
    process = ForkedProcess(pid)
    if reason := _why_unsafe():
        # Not by a word: without its threads it may wait for ever for what one of them held.
        process.send_signal(signal.SIGKILL)
        process.wait()
        channel.close()
        return reason
    TemplateProcess(channel, process).wait_for(sys.executable, bare)
    return ""


def end_fork() -> None:
    """End the fork that no launch has taken, if there is one."""
    TemplateProcess.withdraw(sys.executable, bare=False)


def _why_not() -> str:
    if sys.platform != "linux":
        return why_unsafe_to_fork("it has")
    for thread in threading.enumerate():
        if thread.name == DISK_THREAD:  # of a launch before
            thread.join()
        elif thread is not threading.current_thread():
            return f"it has threads ({thread.name}), which a fork does not have"
    for thread_id in lost_threads().keys() & _lasting.keys():
        return _lasting[thread_id]
    if threading.current_thread() is not threading.main_thread():
        return "jobs are launched from a thread, which is all that a fork would have"
    return ""


def _why_unsafe() -> str:
    """Return why the fork that was just made may not work, or an empty string.

    Libraries that survive forks, as OpenBLAS, have ended their threads for it, which the kernel may
    list for a moment longer.
    """
    until = time.monotonic() + _THREAD_END_S
    while (reason := why_unsafe_to_fork("it has")) and time.monotonic() < until:
        time.sleep(0.002)
    if reason:
        _lasting.update(dict.fromkeys(lost_threads(), reason))
    return reason


def _close_all_but(descriptor: int) -> None:
    """Close all files but the standard streams and one: journals, and what the shell left open."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2 and int(name) != descriptor:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(name))


def _become_template(channel: Channel, descriptor: int, serve: Callable[[int], None]) -> None:
    """Serve as a template, in the fork; never returns."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.close(null)
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        channel.close()
        serve(descriptor)
    except BaseException:  # noqa: BLE001  into the launcher's log: there is nobody else to tell
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(0)
