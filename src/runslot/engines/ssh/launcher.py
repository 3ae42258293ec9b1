"""A pool of ssh hosts behind the launcher protocol: the slots of all hosts in one schedule."""

from __future__ import annotations

import math
import shutil
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Thread

from runslot.engines.bell import Bell
from runslot.engines.events import Observer, Said
from runslot.engines.protocol import Handle, Placed, Taken, UnderWay
from runslot.engines.ssh.host import RemoteHost
from runslot.engines.ssh.ledger import Entry
from runslot.engines.ssh.pool import PoolTerms
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.experiment.status import read_status
from runslot.hardware.slots import Slot
from runslot.transport.contents import INCOMING, incoming

_COMPANY_TIMEOUT_S = 0.5
"""How long hosts that are ready wait for the others before runs begin."""
_TRIED_PERIOD_S = 1.0
"""Between looks whether hosts were tried that ring when they are."""
_START = 60.0
"""Seconds that a host has to answer whether runs started."""


class SSHLauncher:
    """Runs in slots of several hosts."""

    def __init__(
        self, remotes: Sequence[RemoteHost], bell: Bell, terms: PoolTerms, observer: Observer
    ) -> None:
        self._remotes = {remote.name: remote for remote in remotes}
        self._bell = bell
        self._terms = terms
        self._observer = observer
        self._lines: deque[str] = deque()
        self._places: dict[int, tuple[RemoteHost, int]] = {}
        """By a slot's index in the pool: its host, and its index there."""
        self._slots: list[Slot] = []
        self._placed: set[str] = set()
        """Hosts whose slots are in the schedule."""
        self._failures: set[str] = set()
        self._troubles: dict[str, str] = {}
        """Hosts of which it was said why they cannot be used."""
        self._by_handle: dict[Handle, RemoteHost] = {}

    def say(self, text: str) -> None:
        """Have a line said, from any thread."""
        self._lines.append(f"{self._terms.pool}: {text}")
        self._bell.ring()

    def connect(self) -> str:
        """Reach all hosts at once; return the slots in one line. `InvalidInput` where no host can
        be used.

        What is slow to answer joins later, unless an earlier launcher left runs there.
        """
        directory = self._terms.experiment.directory
        shutil.rmtree(
            directory.path / INCOMING, ignore_errors=True
        )  # ends what an earlier launcher had on its way
        incoming(directory).mkdir(parents=True)
        for remote in self._remotes.values():
            remote.connect()
        self._wait_for_hosts()
        self._place_slots()
        if self._terms.runs and not self._slots:
            reasons = "\n".join(f"  {remote.failure}" for remote in self._remotes.values())
            raise InvalidInput(f"{self._terms.pool}: none of its hosts can be used:\n{reasons}")
        self._say_failures()
        self._tell()
        counts = ", ".join(
            f"{remote.name} {len(remote.slots)}"
            for remote in self._remotes.values()
            if remote.name in self._placed
        )
        return f"{len(self._slots)} slots of {self._terms.pool} ({counts})"

    def _wait_for_hosts(self) -> None:
        """Return when all were tried, or some are ready and the others have had their time."""
        deadline = math.inf
        while remotes := [remote for remote in self._remotes.values() if not remote.tried.is_set()]:
            now = time.monotonic()
            if deadline == math.inf and any(remote.slots for remote in self._remotes.values()):
                deadline = now + _COMPANY_TIMEOUT_S
            if now >= deadline and not any(remote.is_awaited for remote in remotes):
                return
            is_early = now < deadline < math.inf
            self._bell.wait(deadline - now if is_early else _TRIED_PERIOD_S)

    def _place_slots(self) -> list[Slot]:
        """Number the slots of hosts that are ready and have none in the schedule yet; return them.

        The first slot of every host comes before the second of any: runs spread over the hosts.
        """
        remotes = [
            remote
            for remote in self._remotes.values()
            if remote.slots and remote.name not in self._placed
        ]
        self._placed |= {remote.name for remote in remotes}
        first = len(self._slots)
        for number in range(max((len(remote.slots) for remote in remotes), default=0)):
            for remote in remotes:
                for slot in remote.slots[number : number + 1]:
                    self._places[len(self._slots)] = (remote, slot.index)
                    self._slots.append(replace(slot, index=len(self._slots)))
        return self._slots[first:]

    def _say_failures(self) -> None:
        """Say, once, which hosts could not be used when they were first tried."""
        for remote in self._remotes.values():
            if remote.failure is None or remote.slots or remote.name in self._failures:
                continue
            self._failures.add(remote.name)
            later = "are used when it answers" if remote.may_join else "are not used"
            self.say(f"{remote.failure}; its slots {later}")

    # ---- the protocol ----------------------------------------------------------------------------

    def slots(self) -> Sequence[Slot]:
        """Return the slots of all hosts."""
        return self._slots

    def joined(self) -> Sequence[Slot]:
        """Return the slots of hosts that have answered only now."""
        if len(self._placed) == len(self._remotes):
            return ()
        self._say_failures()
        slots = self._place_slots()
        for host in dict.fromkeys(slot.host for slot in slots):
            count = sum(slot.host == host for slot in slots)
            self.say(f"host {host} has joined, with {count} slot{'s' * (count != 1)}")
        return slots

    def vacant(self) -> Collection[Handle]:
        """Return runs that have ended well and left their slots, though their files have yet to
        come home.
        """
        return [handle for remote in self._remotes.values() for handle in remote.take_vacant()]

    def reserve(self, slot: Slot, experiment: str, run: str) -> Taken | None:
        """Take a slot where its host can start runs."""
        remote, index = self._places[slot.index]
        return remote.reserve(index, experiment, run)

    def release(self, slot: Slot) -> None:
        """Give a slot back."""
        remote, index = self._places[slot.index]
        remote.release(index)

    def start(self, runs: Sequence[Placed]) -> Sequence[Handle | Taken | Outcome]:
        """Start the runs, on all hosts at once."""
        answers: dict[int, Handle | Taken | Outcome] = {}
        by_host: dict[str, list[tuple[int, Placed, int]]] = {}
        for number, placed in enumerate(runs):
            assert placed.slot is not None
            remote, index = self._places[placed.slot.index]
            failed = self._continue(remote, placed, index)
            if failed is None:
                by_host.setdefault(remote.name, []).append((number, placed, index))
            else:
                answers[number] = failed
        requests = []
        for name, part in by_host.items():
            entries, answer = self._remotes[name].ask_start(
                [(placed, index) for _, placed, index in part]
            )
            requests.append((self._remotes[name], part, entries, answer))
        for remote, part, entries, answer in requests:
            try:
                results: Sequence[Mapping[str, object] | None] = answer.wait(_START)["answers"]
            except RunslotError:  # the connection broke: the next one will tell
                results = [None] * len(part)
            for (number, placed, _), entry, result in zip(part, entries, results, strict=True):
                answers[number] = self._note(remote, placed, entry, result)
        return [answers[number] for number in range(len(runs))]

    def _continue(self, remote: RemoteHost, placed: Placed, slot: int) -> Taken | None:
        """Bring what came home of a run to the host on which it continues; says why that cannot
        be.
        """
        if placed.attempt == 1 or not self._terms.experiment.policy.resumable:
            return None
        try:
            remote.continue_there(placed)
        except RunslotError as error:
            remote.release(slot)
            return remote.unfit(str(error))
        return None

    def _note(
        self, remote: RemoteHost, placed: Placed, entry: Entry, answer: Mapping[str, object] | None
    ) -> Handle | Taken | Outcome:
        result = remote.note_start(entry, answer)
        if isinstance(result, Handle):
            self._by_handle[result] = remote
        elif isinstance(result, Taken) and not any(host.fit for host in self._remotes.values()):
            message = f"{self._terms.pool}: could not be started: {result.by}"
            return Outcome(
                "lost", placed.attempt, ended=time.time(), host=remote.name, message=message
            )
        return result

    def adopt(self, run_dir: RunDir, run: Run, under_way: UnderWay) -> Handle | None:
        """Watch a run where it was started."""
        remote = self._host_of(run, under_way)
        if remote is None:
            return None
        handle = remote.adopt(run, run_dir, under_way.attempt)
        if handle is not None:
            self._by_handle[handle] = remote
        return handle

    def _host_of(self, run: Run, under_way: UnderWay) -> RemoteHost | None:
        name = under_way.host or (under_way.name or "").partition("@")[2]
        if name in self._remotes:
            return self._remotes[name]
        remotes = self._remotes.values()
        has = [remote for remote in remotes if remote.knows((run.id, under_way.attempt))]
        return next(iter([*has, *(remote for remote in remotes if not remote.ready)]), None)

    def poll(self, handles: Collection[Handle]) -> Mapping[Handle, Outcome | None]:
        """Return the outcomes of those that have ended and are home."""
        self._tell()
        ended: dict[Handle, Outcome] = {}
        for remote in self._remotes.values():
            ended |= remote.poll()
        self._note_troubles()  # with the last end there is no further look
        for handle in ended:
            self._by_handle.pop(handle, None)
        return {handle: ended.get(handle) for handle in handles}

    def stop(self, handles: Collection[Handle], kill: bool = False) -> None:
        """Pass a stop on to the hosts."""
        by_host: dict[str, list[Handle]] = {}
        for handle in handles:
            if handle in self._by_handle:
                by_host.setdefault(self._by_handle[handle].name, []).append(handle)
        for name, part in by_host.items():
            self._remotes[name].stop(part, kill)

    def wait(self, timeout: float | None) -> None:
        """Return when something may have changed."""
        self._bell.wait(timeout)

    def wake(self) -> None:
        """Make `wait` return."""
        self._bell.ring()

    def close(self) -> None:
        """Leave all hosts; runs under way go on."""
        for remote in self._remotes.values():
            if self._terms.runs and not remote.tried.is_set():
                self.say(f"{remote.silence()}; its slots were not used")
        closers = [Thread(target=remote.close) for remote in self._remotes.values()]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()
        self._tell()
        shutil.rmtree(self._terms.experiment.directory.path / INCOMING, ignore_errors=True)

    def _note_troubles(self) -> None:
        """Note in the journal, for `status` elsewhere, what keeps hosts away or their results."""
        for remote in self._remotes.values():
            trouble = remote.trouble
            if trouble != self._troubles.get(remote.name, ""):
                self._troubles[remote.name] = trouble
                journal = self._terms.experiment.journal
                journal.write("host_trouble", time.time(), host=remote.name, why=trouble)

    def _tell(self) -> None:
        while self._lines:
            self._observer(Said(self._lines.popleft()))


def expected_there(terms: PoolTerms) -> dict[tuple[str, int], str | None]:
    """Return the attempts that are under way as far as the files here tell, each with its host
    where that is known.
    """
    expected: dict[tuple[str, int], str | None] = {}
    for status in read_status(terms.experiment.directory).runs:
        if status.state == "running":
            host = status.host or (status.name or "").partition("@")[2] or None
            expected[status.run.id, status.attempts] = host
    return expected


def share(runs: int, hosts: Iterable[str]) -> int:
    """Return for how many runs each host's slots are cut; 0 where none will be started."""
    return math.ceil(runs / max(1, len(list(hosts))))
