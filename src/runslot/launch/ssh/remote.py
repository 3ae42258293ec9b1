"""One host of a pool, as its launcher has it: connected or away, its slots, its runs, and what comes home from it.

A thread for each host connects, brings and fetches; what the launcher's own thread asks is short. A host that has been
silent for too long is given up: from then on nothing of those runs comes home, and when it is back they are ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir, write_json
from runslot.hardware.slots import Slot
from runslot.launch.host import Host, HostError, last_line
from runslot.launch.launcher import Handle, Placed, Taken
from runslot.launch.opened import OpenExperiment
from runslot.launch.ssh.bringing import STAYS_HERE, Clone, home_options, remove_gone, runs_base, to_bring
from runslot.launch.ssh.changes import Change, in_order
from runslot.launch.ssh.connection import Answer, Broken, Connection
from runslot.launch.ssh.probe import obstacle, probe

_OPENING = 600.0
"""Seconds that a remote end has to look at its machine and to import the experiment's function."""
_ANSWER = 60.0
_SILENCE = 20.0
"""Seconds without a sign of life after which a connection is dropped and made again."""
_SOON = 0.5
"""Seconds from the start of a run to the first look at what it wrote."""
_AGAIN = (0.5, 1.0, 2.0, 4.0, 5.0)
"""Seconds between tries to reach a host that is away; the last for all further ones."""
_UNFIT_FOR = 20.0
"""Seconds for which a host that could not start a run is left alone."""


@dataclass(frozen=True)
class Terms:
    """What all hosts of a pool have in common."""

    pool: str
    """The launcher's name."""
    python: str
    root: str
    sync_every: float
    lost_after: float
    experiment: OpenExperiment
    runs: int
    """How many runs a host's slots are cut for; 0: none are started."""
    environment: Mapping[str, str]
    """The caller's variables that the runs get."""
    by_value: str | None
    """The version of Python that what travels by value wants."""


@dataclass
class Watched:
    """An attempt on this host."""

    run: Run
    attempt: int
    handle: Handle
    slot: int | None = None
    """Of this host, by index there; None where an earlier launcher started it."""
    state: Literal["asked", "running", "ended", "done"] = "running"
    """`asked`: whether it was started is not known; `ended`: there, but not yet home; `done`: `outcome` can be told."""
    outcome: Outcome | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Run id and attempt."""
        return self.run.id, self.attempt


@dataclass
class Found:
    """What a host said when it was last connected."""

    running: set[tuple[str, int]] = field(default_factory=set)
    ended: dict[tuple[str, int], Outcome] = field(default_factory=dict)


class RemoteHost:
    """A host of the pool; `live` runs in a thread of its own, everything else is asked by the launcher's."""

    def __init__(
        self, host: Host, terms: Terms, expected: Iterable[tuple[str, int]], said: Callable[[str], None], bell: Any
    ) -> None:
        self.host = host
        self.name = host.name
        self.slots: tuple[Slot, ...] = ()
        """By their index on the host."""
        self.failure: RunslotError | None = None
        """Why it could not be used when it was first tried."""
        self.tried = threading.Event()
        self.found = Found()
        self._terms = terms
        self._said = said
        self._bell = bell
        self._lock = threading.RLock()
        self._files = threading.Lock()
        """Held while files come home: who gives the host up waits for it."""
        self._watched: dict[tuple[str, int], Watched] = {}
        self._expected = set(expected)
        self._connection: Connection | None = None
        self._clone: Clone | None = None
        self._last_heard = time.monotonic()
        self._next_sweep = 0.0
        self._due = threading.Event()
        self._home = False
        """Whether what was offered last came home."""
        self._unfit: tuple[float, str] = (0.0, "")
        self._taken: set[int] = set()
        self._reserved: set[int] = set()
        self._stops: dict[tuple[str, int], bool] = {}
        """What was asked to stop, or to be killed: said again after a new connection."""
        self._closing = False
        self._told_away = False
        self._thread = threading.Thread(target=self._live, name=f"runslot {host.name}", daemon=True)

    # ---- asked by the launcher -----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Begin to reach the host; `tried` is set when that has been seen."""
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether it is connected."""
        connection = self._connection
        return connection is not None and connection.alive

    @property
    def fit(self) -> bool:
        """Whether a run can be started there now, as far as is known."""
        return self.ready and time.monotonic() >= self._unfit[0]

    def reserve(self, slot: int, experiment: str, run: str) -> Taken | None:
        """Ask for a slot where that is worth asking; a slot that was free when last asked is taken at the start."""
        if not self.ready:
            return Taken(f"host {self.name}, which is away")
        if not self.fit:
            return Taken(f"host {self.name}, which cannot start runs: {self._unfit[1]}")
        if slot not in self._taken:
            return None
        try:
            taken = self._ask("reserve", slot=slot, experiment=experiment, run=run)["taken"]
        except RunslotError as error:
            return Taken(f"host {self.name}: {error}")
        if taken is not None:
            return Taken(f"{taken} (host {self.name})")
        self._taken.discard(slot)
        self._reserved.add(slot)
        return None

    def release(self, slot: int) -> None:
        """Give a slot back that `reserve` took."""
        if slot in self._reserved:
            self._reserved.discard(slot)
            self._quietly("release", slot=slot)

    def unfit(self, why: str) -> None:
        """Have no further run started there for a while."""
        self._unfit = (time.monotonic() + _UNFIT_FOR, why)

    def knows(self, key: tuple[str, int]) -> bool:
        """Whether the host said that an attempt runs or ended there."""
        return key in self.found.running or key in self.found.ended

    def post_start(self, placed: Sequence[tuple[Placed, int]]) -> list[Watched]:
        """Note runs, each with its slot's index here, as asked for."""
        watched = []
        for one, slot in placed:
            handle = Handle(one.run_dir, one.attempt, f"@{self.name}")
            watched.append(Watched(one.run, one.attempt, handle, slot, "asked"))
        with self._lock:
            self._watched |= {each.key: each for each in watched}
        return watched

    def ask_start(self, watched: Sequence[Watched]) -> Answer:
        """Send the starts."""
        connection = self._connection
        if connection is None:
            lost = Answer()
            lost.give(None)
            return lost
        return connection.ask("start", runs=[[*each.key, each.slot] for each in watched])

    def note_start(self, watched: Watched, answer: Mapping[str, Any] | None) -> Handle | Taken | Outcome:
        """Take in the answer to a start; None where none came, which the next connection will make out."""
        assert watched.slot is not None
        self._reserved.discard(watched.slot)
        if answer is None:
            return watched.handle
        if "started" in answer:
            with self._lock:
                if watched.state == "asked":
                    watched.state = "running"
            self._soon(_SOON)
            return watched.handle
        with self._lock:
            self._watched.pop(watched.key, None)
        if "outcome" in answer:
            return Outcome.from_json(answer["outcome"])
        if "unfit" in answer:
            self.unfit(answer["unfit"])
            return Taken(f"host {self.name}, which cannot start runs: {answer['unfit']}")
        self._taken.add(watched.slot)
        return Taken(f"{answer['taken']} (host {self.name})")

    def continue_there(self, placed: Placed) -> None:
        """Bring a run's directory, as it came home, to the host on which the run continues."""
        assert self._clone is not None
        self._ask("make", run=placed.run.id, attempt=placed.attempt)
        options = ["--delete", *(f"--exclude=/{name}" for name in STAYS_HERE)]
        there = f"{self._clone.base}/{placed.run.directory}"
        self.host.push(placed.run_dir.path, there, ["."], options)

    def adopt(self, run: Run, run_dir: RunDir, attempt: int, pid: int | None) -> Handle | None:
        """Watch a run that an earlier launcher started here; None where the host says that it never was here."""
        key = (run.id, attempt)
        with self._lock:
            ended = self.found.ended.get(key)
            if self.ready and ended is None and key not in self.found.running:
                return None
            handle = Handle(run_dir, attempt, f"{pid or ''}@{self.name}")
            state: Literal["running", "ended"] = "running" if ended is None else "ended"
            self._watched[key] = Watched(run, attempt, handle, None, state, ended)
        self._soon(0)
        return handle

    def stop(self, handles: Iterable[Handle], kill: bool) -> None:
        """Pass a stop on; a host that is away and has to kill is given up at once."""
        with self._lock:
            wanted = set(handles)
            runs = [list(each.key) for each in self._watched.values() if each.handle in wanted]
            self._stops |= {each.key: kill for each in self._watched.values() if each.handle in wanted}
        if self.ready:
            self._quietly("stop", runs=runs, kill=kill)
        elif kill:
            self.give_up("it was away when its runs were to be killed")

    def poll(self) -> dict[Handle, Outcome]:
        """Return what has ended and is home; gives the host up where it has been away for too long."""
        with self._lock:
            away = bool(self._watched) and time.monotonic() - self._heard() > self._terms.lost_after
        if away:
            self.give_up(f"it has not answered for {self._terms.lost_after:g} s")
        with self._lock:
            done = [each for each in self._watched.values() if each.state == "done" and each.outcome is not None]
            for each in done:
                del self._watched[each.key]
        return {each.handle: each.outcome for each in done if each.outcome is not None}

    def give_up(self, why: str) -> None:
        """Account its runs as lost: nothing of them comes home any more, and when the host is back, they are ended."""
        with self._lock:
            given_up = [each for each in self._watched.values() if each.state != "done"]
            for each in given_up:
                message = f"{self._terms.pool}: host {self.name} was given up: {why}"
                each.state = "done"
                each.outcome = Outcome("lost", each.attempt, ended=time.time(), host=self.name, message=message)
                self._expected.discard(each.key)
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.kill()
        self.host.abort()
        with self._files:  # what was on its way has stopped
            for each in given_up:
                self._write_outcome(each)
        self.host.disconnect()
        self._due.set()

    def close(self) -> None:
        """Leave the host; its runs go on."""
        self._closing = True
        self._due.set()
        connection = self._connection
        if connection is not None:
            connection.close()
        self.host.abort()
        self._thread.join(timeout=15)
        self.host.close()

    # ---- its thread ----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        tries = 0
        while not self._closing:
            try:
                self._open()
            except RunslotError as error:
                self._not_reached(error)
                if not self.tried.is_set():
                    self.failure = error
                    self.tried.set()
                    if not getattr(error, "retry", False) and not self._expected:
                        return
            else:
                tries = 0
                self.tried.set()
                self._bell.ring()
                self._serve()
            self._due.wait(_AGAIN[min(tries, len(_AGAIN) - 1)])
            self._due.clear()
            tries += 1

    def _not_reached(self, error: RunslotError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.kill()
        self.host.disconnect()
        if self.tried.is_set() and not self._told_away and not self._closing:
            self._told_away = True
            self._said(f"{error}; trying again")

    def _open(self) -> None:
        """Reach the host, bring what is needed, start the remote end, and take in what it says."""
        terms = self._terms
        found = probe(self.host, terms.python, terms.root)
        wrong = obstacle(found, terms.python, terms.by_value)
        if wrong is not None:
            raise HostError(self.name, f"{terms.python} -", wrong)
        clone = Clone.of(terms.experiment, found.root, self.name)
        self.host.check(["mkdir", "-p", clone.experiment])
        self.host.push(terms.experiment.directory.path, clone.experiment, to_bring(terms.experiment))
        self._clone = clone
        with terms.experiment.directory.launcher_log.open("ab") as log:
            before = log.tell()
            process = self.host.start([terms.python, "-u", clone.archive, "serve", clone.experiment], log.fileno())
        connection = Connection(process, self._hear)
        with self._lock:
            self._last_heard = max(self._last_heard, connection.last_heard) if self._watched else time.monotonic()
            expected = sorted({*self._expected, *(each.key for each in self._watched.values() if each.state != "done")})
        try:
            answer = connection.ask(
                "open", host=self.name, runs=terms.runs, expected=expected, environment=dict(terms.environment)
            ).wait(_OPENING)
        except RunslotError as error:
            connection.kill()
            retry = isinstance(error, Broken)
            why = f"{error}: {self._last_words(before)}".rstrip(": ") if retry else str(error)
            raise HostError(self.name, f"{terms.python} {clone.archive} serve", why, retry) from error
        self._take_in(connection, answer)

    def _last_words(self, before: int) -> str:
        """Return what a remote end that ended had to say last."""
        with self._terms.experiment.directory.launcher_log.open("rb") as log:
            log.seek(before)
            return last_line(log.read())

    def _take_in(self, connection: Connection, answer: Mapping[str, Any]) -> None:
        refused = answer.get("refused")
        if refused and not self.tried.is_set():
            self.failure = InvalidInput(f"host {self.name}: {refused}")
        running = {(run, attempt) for run, attempt in answer["running"]}
        ended = {(run, attempt): Outcome.from_json(outcome) for run, attempt, outcome in answer["ended"]}
        with self._lock:
            self.slots = self.slots or tuple(Slot.from_json(slot) for slot in answer["slots"])
            self.found = Found(running, ended)
            self._home = False
            self._taken.clear()
            self._reserved.clear()
            self._connection = connection
            unknown = [self._settle(each) for each in self._watched.values() if each.state != "done"]
        self._start_again([each for each in unknown if each is not None], connection)
        for kill in (False, True):
            stops = [list(key) for key, asked in self._stops.items() if asked is kill and key in running]
            if stops:
                self._quietly("stop", runs=stops, kill=kill)
        if self._told_away:
            self._told_away = False
            self._said(f"host {self.name} is back")

    def _settle(self, watched: Watched) -> Watched | None:
        """Take in how a run stands after a new connection; return it where the host knows nothing of it."""
        if watched.key in self.found.running:
            watched.state = "running"
        elif watched.key in self.found.ended:
            watched.state, watched.outcome = "ended", self.found.ended[watched.key]
        elif watched.slot is not None and watched.state == "asked":
            return watched
        elif watched.state != "ended":
            message = f"host {self.name} knows nothing of it any more"
            watched.state, watched.outcome = "ended", Outcome("lost", watched.attempt, host=self.name, message=message)
        return None

    def _start_again(self, unknown: Sequence[Watched], connection: Connection) -> None:
        """Ask again for starts that the connection before lost on their way."""
        for each in unknown:
            try:
                answer = connection.ask("start", runs=[[*each.key, each.slot]]).wait(_ANSWER)["answers"][0]
            except RunslotError:
                return
            with self._lock:
                if "started" in answer:
                    each.state = "running"
                    continue
                said = answer.get("taken") or answer.get("unfit") or ""
                outcome = answer.get("outcome") or Outcome("lost", each.attempt, message=said).to_json()
                each.state, each.outcome = "ended", Outcome.from_json(outcome)

    def _serve(self) -> None:
        """Bring home what changes, until the connection ends."""
        connection = self._connection
        while connection is not None and connection.alive and not self._closing:
            wait = max(0.0, self._next_sweep - time.monotonic())
            self._due.wait(min(wait, 1.0))
            self._due.clear()
            if time.monotonic() - connection.last_heard > _SILENCE:
                connection.kill()
                self.host.disconnect()
                break
            ended = any(each.state == "ended" for each in list(self._watched.values()))
            if ended or time.monotonic() >= self._next_sweep:
                self._sweep(connection)
            connection = self._connection
        with self._lock:
            if self._connection is not None and not self._connection.alive:
                self._last_heard = self._connection.last_heard
                self._connection = None

    def _hear(self, message: Mapping[str, Any]) -> None:
        """Take in what the remote end says by itself; in the connection's thread."""
        if message["event"] == "said":
            self._said(f"host {self.name}: {message['text']}")
        elif message["event"] == "ended":
            with self._lock:
                watched = self._watched.get((message["run"], message["attempt"]))
                if watched is not None and watched.state in {"asked", "running"}:
                    watched.state, watched.outcome = "ended", Outcome.from_json(message["outcome"])
            self._due.set()
        elif message["event"] == "end":
            self._due.set()
            self._bell.ring()

    # ---- what comes home -----------------------------------------------------------------------------------------

    def _sweep(self, connection: Connection) -> None:
        """Bring home what has changed, in one transfer or two, and of runs that have ended the outcome at last."""
        with self._lock:
            self._next_sweep = time.monotonic() + self._terms.sync_every
            active = [each for each in self._watched.values() if each.state in {"running", "ended", "asked"}]
            ended = [each for each in active if each.state == "ended"]
        if not active:
            return
        try:
            answer = connection.ask("changes", runs=[each.run.id for each in active], home=self._home).wait(_ANSWER)
            self._home = False
            changes = [Change(run, path, size) for run, path, size in answer["changed"]]
            for part in in_order(changes):
                self._fetch(part)
            with self._files:
                keep = self._directories()
                remove_gone(runs_base(self._terms.experiment), keep, [(run, path) for run, path in answer["gone"]])
            self._home = True
        except Broken:
            return
        except RunslotError as error:
            if not self._closing and self._connection is connection and not getattr(error, "retry", False):
                self._said(f"{error}; trying again")
            self._soon(5.0)
            return
        except OSError as error:
            self._said(f"results of host {self.name} cannot be written: {error}; trying again")
            return
        self._conclude(ended)

    def _fetch(self, changes: Sequence[Change]) -> None:
        """Bring files home; only of runs that have not been given up meanwhile."""
        with self._files:
            directories = self._directories()
            names = [f"{directories[each.run]}/{each.path}" for each in changes if each.run in directories]
            if names and self._clone is not None:
                options = home_options(self._terms.experiment)
                self.host.pull(self._clone.base, runs_base(self._terms.experiment), names, options)

    def _directories(self) -> dict[str, str]:
        with self._lock:
            return {each.run.id: each.run.directory for each in self._watched.values() if each.state != "done"}

    def _conclude(self, ended: Sequence[Watched]) -> None:
        """Write the outcomes of runs whose files are home: who sees one sees all the others."""
        with self._files:
            over = [each for each in ended if each.state == "ended"]
            for each in over:
                self._write_outcome(each)
                with self._lock:
                    each.state = "done"
                    self._expected.discard(each.key)
        if over:
            # What may continue from its snapshot may do so on this host, where it lies already.
            resumable = self._terms.experiment.policy.resumable
            kept = [each for each in over if resumable and each.outcome and each.outcome.kind != "succeeded"]
            self._quietly("forget", runs=[each.run.id for each in over if each not in kept])
            self._bell.ring()

    def _write_outcome(self, watched: Watched) -> None:
        assert watched.outcome is not None
        try:
            write_json(watched.handle.run_dir.outcome_file, watched.outcome.to_json())
        except OSError as error:  # the directory was deleted, or the disk is full: the journal has it
            watched.outcome = replace(watched.outcome, notes=(*watched.outcome.notes, str(error)))

    # ---- asking --------------------------------------------------------------------------------------------------

    def _heard(self) -> float:
        connection = self._connection
        return self._last_heard if connection is None else connection.last_heard

    def _soon(self, seconds: float) -> None:
        self._next_sweep = min(self._next_sweep, time.monotonic() + seconds)
        self._due.set()

    def _ask(self, verb: str, **details: Any) -> Mapping[str, Any]:
        connection = self._connection
        if connection is None:
            raise Broken("it is away")
        return connection.ask(verb, **details).wait(_ANSWER)

    def _quietly(self, verb: str, **details: Any) -> None:
        connection = self._connection
        if connection is not None:
            connection.ask(verb, **details)
