"""The guardian of keepers: the process above them, to which the kernel gives what a killed keeper
leaves behind.

A template is one, from its start on, as a subreaper: no further process, and nothing to do while
all goes well. When a keeper is killed, whatever its run had started comes to the template, whatever
session, environment and descriptors it has chosen; it is killed at once, so that no cores are given
away while something computes on them. When the launcher is gone, the template stays until the last
of its keepers has ended.
"""

from __future__ import annotations

import os
import signal
import time

from runslot.execute.linux import become_subreaper
from runslot.experiment.processes import children_of, name_of_process

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
        self._others: set[int] = set()
        """Children that no keeper left: helpers of this process, and what the user's module started
        at its import.
        """
        self._inherits = False
        """Whether a keeper was killed: only then is there anything to inherit."""
        self._hearing = self._heard = False

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
        self._others.update(pids)

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
        self._heard = True
        if self._hearing:
            return
        self._hearing = True
        try:
            while self._heard:
                self._heard = False
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
            self._others.discard(pid)
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
        while left := set(children_of(os.getpid())) - self._keepers - self._others:
            orphans = {pid for pid in left if name_of_process(pid) not in _MONITORS}
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
