"""One host of a pool, as its launcher has it: connected or away, its slots, and the runs that are
started there.

A thread for each host connects, brings and fetches; what the launcher's own thread asks is short. A
host that has been silent for too long is given up: from then on nothing of those runs comes home,
and when it is back they are ended.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from runslot.engines.protocol import Handle, Placed, Taken
from runslot.engines.ssh.connection import Broken, Connection, Reply
from runslot.engines.ssh.fetch import Homecoming
from runslot.engines.ssh.handshake import Handshake
from runslot.engines.ssh.ledger import Books, Entry, Found, Key
from runslot.engines.ssh.pool import PoolTerms, Silence, SlotStanding
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot
from runslot.transport.contents import STAYS_HERE, HostClone
from runslot.transport.ssh import Host, HostError

_ANSWER = 60.0
_SILENCE = 20.0
"""Seconds without a sign of life after which a connection is dropped and made again."""
_SOON = 0.5
"""Seconds from the start of a run to the first look at what it wrote."""
_AGAIN = (0.5, 1.0, 2.0, 4.0, 5.0)
"""Seconds between tries to reach a host that is away; the last for all further ones."""
_LEFT_TIMEOUT_S = 5.0
"""How long a host has to say what stays on it."""
_FAILED = 5.0
"""Seconds from a round that brought nothing home to the next."""


class RemoteHost:
    """A host of the pool; `_live` runs in a thread of its own, what is public is asked by the
    launcher's.
    """

    def __init__(
        self,
        host: Host,
        terms: PoolTerms,
        expected: Iterable[Key],
        say: Callable[[str], None],
        ring: Callable[[], None],
    ) -> None:
        self.name = host.name
        self.slots: tuple[Slot, ...] = ()
        """With their indexes on the host."""
        self.failure: RunslotError | None = None
        """Why it could not be used when it was first tried."""
        self.may_join = False
        """Whether it is tried again, and its slots are used when it answers."""
        self.tried = threading.Event()
        self._host = host
        self._terms = terms
        self._say = say
        self._ring = ring
        self._books = Books(host.name, expected)
        self._homecoming = Homecoming(host, terms.experiment, self._books, terms.sync_every)
        self._connection: Connection | None = None
        self._handshake: Handshake | None = None
        """One that goes on, whose connection's signs of life count too."""
        self._clone: HostClone | None = None
        self._last_heard = time.monotonic()
        self._silence = Silence(terms.lost_after)
        self._due = threading.Event()
        self._standing = SlotStanding(host.name)
        self.trouble = ""
        """What was last said to be wrong; cleared when it is well again."""
        self._closing = self._keeps_files = False
        self._thread = threading.Thread(target=self._live, name=f"runslot {host.name}", daemon=True)

    # ---- asked by the launcher -------------------------------------------------------------------

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
        return self.ready and self._standing.fit

    def knows(self, key: Key) -> bool:
        """Whether the host said that an attempt runs or ended there."""
        return key in self._books.stock.running or key in self._books.stock.ended

    def reserve(self, slot: int, experiment: str, run: str) -> Taken | None:
        """Ask for a slot where that is worth asking; one that was free when last asked for is taken
        at the start.
        """
        if not self.ready:
            return Taken(f"host {self.name}, which is away")
        refusal = self._standing.refusal(slot)
        if refusal is not None or not self._standing.was_taken(slot):
            return refusal
        try:
            by = self._ask("reserve", slot=slot, experiment=experiment, run=run)["taken"]
        except RunslotError as error:
            return Taken(f"host {self.name}: {error}")
        return self._standing.note(slot, by)

    def release(self, slot: int) -> None:
        """Give a slot back that `reserve` took."""
        if self._standing.used(slot):
            self._post("release", slot=slot)

    def ask_start(self, placed: Sequence[tuple[Placed, int]]) -> tuple[list[Entry], Reply]:
        """Ask for runs to be started, each in the slot with this index; return what `note_start`
        wants.
        """
        entries = [self._books.ask(run.run, run.run_dir, run.attempt, slot) for run, slot in placed]
        return entries, self._post("start", **self._start_details(entries))

    def note_start(
        self, entry: Entry, answer: Mapping[str, Any] | None
    ) -> Handle | Taken | Outcome:
        """Take in the answer to a start; None where none came, which the next connection will make
        out.
        """
        assert entry.slot is not None
        self._standing.used(entry.slot)
        if answer is None:
            return entry.handle
        if "started" in answer:
            self._soon(_SOON)
            return self._books.started(entry, answer["started"])
        self._books.drop(entry)
        if "outcome" in answer:
            return Outcome.from_json(answer["outcome"])
        if "unfit" in answer:
            return self.unfit(answer["unfit"])
        return self._standing.taken(entry.slot, answer["taken"])

    def unfit(self, reason: str) -> Taken:
        """Have no further run started there for a while."""
        return self._standing.unfit(reason)

    def continue_there(self, placed: Placed) -> None:
        """Bring a run's directory, as it came home, to the host on which the run continues."""
        clone = self._clone
        if clone is None:
            raise Broken("it is away")
        file = self._terms.experiment.file
        further = self._further([placed.run])
        self._ask("make", run=placed.run.id, attempt=placed.attempt, further=further)
        # What was not to come home lies there alone, and may be what the run continues from.
        delete = [] if file.fetch or file.no_fetch else ["--delete"]
        options = [*delete, *(f"--exclude=/{name}" for name in STAYS_HERE)]
        self._host.push(placed.run_dir.path, f"{clone.base}/{placed.run.directory}", ["."], options)

    def adopt(self, run: Run, run_dir: RunDir, attempt: int) -> Handle | None:
        """Watch a run that an earlier launcher started here; None where the host says that it does
        not know it.
        """
        handle = self._books.adopt(run, run_dir, attempt, self.ready)
        self._soon(0)
        return handle

    def stop(self, handles: Collection[Handle], kill: bool) -> None:
        """Pass a stop on; a host that is away and has to kill is given up at once."""
        self._books.ask_stop(handles, kill)
        if self.ready:
            self._post_stops()
        elif kill:
            self.give_up("it was away when its runs were to be killed")

    def take_vacant(self) -> list[Handle]:
        """Return runs that have ended well and left their slots, once."""
        return self._books.take_vacant()

    @property
    def is_awaited(self) -> bool:
        """Whether nothing is known yet of what an earlier launcher left there."""
        return not self.tried.is_set() and bool(self._books.expected())

    def silence(self) -> HostError:
        """Return that it has not answered so far."""
        return HostError(self.name, shlex.join(self._host.login), "it has not answered")

    def poll(self) -> dict[Handle, Outcome]:
        """Return what has ended and is home; gives up a host that has been away for too long."""
        is_gone = self._silence.is_too_long(self._heard(), time.monotonic())
        if is_gone and self._books.watching():
            self.give_up(f"it has not answered for {self._terms.lost_after:g} s")
        return self._books.take_done()

    def give_up(self, reason: str) -> None:
        """Account its runs as lost: nothing of them comes home any more, and when the host is back,
        they are ended.
        """
        given_up = self._books.give_up(
            f"{self._terms.pool}: host {self.name} was given up: {reason}"
        )
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.kill()
        self._homecoming.stop(given_up)
        self._host.disconnect()
        self._due.set()

    def close(self) -> None:
        """Leave the host; its runs go on. Where it has none, what was brought there is removed."""
        self._closing = True
        self._due.set()
        connection = self._connection
        if connection is not None:
            if not self._books.expected():
                self._say_left(connection.ask("remove"))
            connection.close()
        self._host.abort()
        if self._thread.ident is not None:
            self._thread.join(timeout=15)
        self._host.close()

    # ---- its thread ------------------------------------------------------------------------------

    def _live(self) -> None:
        tries = 0
        while not self._closing:
            try:
                self._open()
            except RunslotError as error:
                if not self._try_again(error):
                    return
            else:
                tries = 0
                self._well()
                self.tried.set()
                self._ring()
                self._serve()
            self._due.wait(_AGAIN[min(tries, len(_AGAIN) - 1)])
            self._due.clear()
            tries += 1

    def _try_again(self, error: RunslotError) -> bool:
        """Take note that the host was not reached; False where it is of no use to this launch."""
        self._host.disconnect()
        if self.tried.is_set():
            self._wrong(str(error))
            return True
        self.failure = error
        self.trouble = str(error)  # the launcher says it
        self.may_join = bool(getattr(error, "retry", False))
        is_useful = self.may_join or bool(self._books.expected())
        self.tried.set()
        self._ring()
        return is_useful

    def _open(self) -> None:
        """Have a remote end there, and take in what it says."""
        self._handshake = handshake = Handshake(self._host, self._terms, self._hear)
        try:
            clone = handshake.prepare()
            answer = handshake.begin(clone, self._books.expected())
            assert handshake.connection is not None
            self._take_in(handshake.connection, clone, answer)
        except RunslotError:
            if handshake.connection is not None:
                handshake.connection.kill()
            raise
        finally:
            if handshake.connection is not None:
                self._last_heard = max(self._last_heard, handshake.connection.last_heard)
            self._handshake = None

    def _take_in(self, connection: Connection, clone: HostClone, answer: Mapping[str, Any]) -> None:
        stock = Found.of(answer)
        as_expected, never_started = self._books.settle(stock)
        # it was given up while it answered: the next connection ends what runs there
        if not as_expected:
            raise Broken("it was given up meanwhile")
        refused = answer.get("refused")
        if refused and not self.tried.is_set():
            self.failure = InvalidInput(f"host {self.name}: {refused}")
        self.slots = self.slots or tuple(Slot.from_json(slot) for slot in answer["slots"])
        self._clone = clone
        self._homecoming.begin()
        self._standing.clear()
        self._connection = connection
        if not self._books.expected().issuperset(stock.running):  # given up between the two
            self._connection = None
            raise Broken("it was given up meanwhile")
        self._start_again(never_started, connection)
        self._post_stops()
        self._soon(0)

    def _start_again(self, entries: Sequence[Entry], connection: Connection) -> None:
        """Ask again for starts that the connection before lost on their way."""
        for entry in entries:
            reply = connection.ask("start", **self._start_details([entry]))
            answer = reply.wait(_ANSWER)["answers"][0]
            if "started" in answer:
                self._books.started(entry)
                continue
            message = str(answer.get("taken") or answer.get("unfit") or "")
            lost = Outcome(
                "lost", entry.attempt, ended=time.time(), host=self.name, message=message
            )
            self._books.end(
                entry.key, Outcome.from_json(answer["outcome"]) if "outcome" in answer else lost
            )

    def _serve(self) -> None:
        """Bring home what changes, until the connection ends."""
        connection, clone = self._connection, self._clone
        while (
            connection is not None and clone is not None and connection.alive and not self._closing
        ):
            self._due.wait(max(0.0, min(self._homecoming.moment - time.monotonic(), 1.0)))
            self._due.clear()
            if time.monotonic() - connection.last_heard > _SILENCE:
                connection.kill()
                self._host.disconnect()
            elif time.monotonic() >= self._homecoming.moment:
                self._bring_home(connection, clone)
            connection = self._connection
        if self._connection is not None and not self._connection.alive:
            self._last_heard = max(self._last_heard, self._connection.last_heard)
            self._connection = None

    def _bring_home(self, connection: Connection, clone: HostClone) -> None:
        try:
            ended, note = self._homecoming.round(connection, clone)
        except Broken:
            if connection.alive:  # it lives, and does not answer
                connection.kill()
            return
        except (RunslotError, OSError) as error:
            if not getattr(error, "retry", False):
                self._wrong(f"results of host {self.name} do not come home: {error}")
            self._pause(_FAILED)
            return
        # First: who is told of the last end looks no more.
        was_troubled, self.trouble = bool(self.trouble), ""
        home = self._homecoming.conclude(ended, note)
        if was_troubled and all(entry.is_whole for entry in home):
            self._say(f"results of host {self.name} come home again")
        if home:
            # What may continue from its snapshot may do so on this host, where it lies already.
            resumable = self._terms.experiment.policy.resumable
            over = [
                entry
                for entry in home
                if not resumable or (entry.outcome and entry.outcome.kind == "succeeded")
            ]
            kept = [entry.run.id for entry in over if not entry.is_whole]
            self._keeps_files |= bool(kept)
            self._post("forget", runs=[entry.run.id for entry in over], kept=kept)
            self._ring()

    def _say_left(self, removed: Reply) -> None:
        """Say where the files are that were not to come home."""
        file = self._terms.experiment.file
        if not (file.fetch or file.no_fetch or self._keeps_files) or self._clone is None:
            return
        try:
            count = removed.wait(_LEFT_TIMEOUT_S)["left"]
        except RunslotError:  # it is gone: what is there stays
            return
        if count:
            runs = f"{count} run{'s' * (count != 1)}"
            self._say(
                f"files of {runs} that do not come home stay on host {self.name}, below"
                f" {self._clone.base}"
            )

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.ready and not self._closing:
            time.sleep(0.1)

    def _hear(self, message: Mapping[str, Any]) -> None:
        """Take in what the remote end says by itself; in the connection's thread."""
        if message["event"] == "said":
            self._say(f"host {self.name}: {message['text']}")
        elif message["event"] == "ended":
            self._books.end(
                (message["run"], message["attempt"]), Outcome.from_json(message["outcome"])
            )
            self._homecoming.note_end()
            self._due.set()
            self._ring()  # its slot is free
        elif message["event"] == "end" and self._connection is not None:  # else: of a handshake
            self._due.set()
            self._ring()

    # ---- saying and asking -----------------------------------------------------------------------

    def _wrong(self, problem: str) -> None:
        """Say what is wrong, until it is well again once."""
        if not self.trouble and not self._closing:
            self.trouble = problem
            self._say(f"{problem}; trying again")

    def _well(self) -> None:
        if self.trouble and not self.may_join:  # else the launcher says that it has joined
            self._say(f"host {self.name} is back")
        self.trouble, self.may_join = "", False

    def _heard(self) -> float:
        handshake = self._handshake
        connections = (self._connection, None if handshake is None else handshake.connection)
        return max([self._last_heard, *(link.last_heard for link in connections if link)])

    def _soon(self, seconds: float) -> None:
        self._homecoming.hurry(seconds)
        self._due.set()

    def _ask(self, verb: str, **details: Any) -> Mapping[str, Any]:
        return self._post(verb, **details).wait(_ANSWER)

    def _post(self, verb: str, **details: Any) -> Reply:
        connection = self._connection
        if connection is None:
            lost = Reply()
            lost.give(None)
            return lost
        return connection.ask(verb, **details)

    def _start_details(self, entries: Sequence[Entry]) -> dict[str, Any]:
        runs = [[*entry.key, entry.slot] for entry in entries]
        return {"runs": runs, "further": self._further([entry.run for entry in entries])}

    def _further(self, runs: Iterable[Run]) -> list[dict[str, Any]]:
        """Return runs that may have been listed since the list was brought there."""
        is_search = self._terms.experiment.file.search is not None
        return [run.to_json() for run in runs] if is_search else []

    def _post_stops(self) -> None:
        for kill, keys in self._books.stops().items():
            if keys:
                self._post("stop", runs=[list(key) for key in keys], kill=kill)
