"""Runs that come to a worker one after the other, through a socket, from who started it.

`remote.sky` takes them for its machine from what nobody has; the worker (`remote.worker`, option
`--supply`) says for how many it has room. A line of JSON each way: `{"room": 2, "busy": 6}` and
`{"over": RUN}`; `{"runs": [[RUN, ATTEMPT], …]}` and `{"end": true}`. What must stay true: nothing
here waits for the other side; where that is gone, the worker ends when its runs have.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from runslot.engines.events import Observer, RunsAdded
from runslot.experiment.records import Outcome, Run
from runslot.experiment.states import UNFINISHED
from runslot.experiment.status import ExperimentStatus


def lines_of(link: socket.socket) -> Iterator[dict[str, Any]]:
    """Yield what the other side says, until it is gone."""
    try:
        with link.makefile("r") as stream:
            for line in stream:
                yield json.loads(line)
    except (OSError, ValueError):  # it was killed, half-way in a line perhaps
        return


def send(link: socket.socket, value: Mapping[str, Any]) -> bool:
    """Say something to the other side; False where that is gone."""
    try:
        link.sendall(f"{json.dumps(value)}\n".encode())
    except OSError:
        return False
    return True


class Supply:
    """Adds the runs that come to a worker to those that it has (`launch.growth.Growth`)."""

    def __init__(
        self,
        link: socket.socket,
        next_attempt: Callable[[str, int], tuple[Run, int] | None],
        wake: Callable[[], None],
        observer: Observer,
    ) -> None:
        """`next_attempt` says which run an id names, and the number of its next attempt: None where
        nothing is to be done; `wake` makes the supervisor ask what has come.
        """
        self._observer = observer
        self.problem = ""
        self._has_ended = False
        self._link = link
        self._next_attempt = next_attempt
        self._wake = wake
        self._come: SimpleQueue[Sequence[tuple[str, int]]] = SimpleQueue()
        self._busy: set[str] = set()
        self._last_wish: tuple[int, int] | None = None
        threading.Thread(target=self._hear, name="supply", daemon=True).start()

    def _hear(self) -> None:
        for line in lines_of(self._link):
            if runs := line.get("runs"):
                self._come.put(runs)  # as one: no room is asked for that the rest will fill
            if line.get("end"):
                break
            self._wake()
        self._has_ended = True
        self._wake()

    @property
    def most(self) -> int:
        """How many runs there may be at one time: as many as there are slots."""
        return 1

    @property
    def is_over(self) -> bool:
        """Whether no further runs come."""
        return self._has_ended and self._come.empty()

    @property
    def expects(self) -> bool:
        """Whether runs may yet come."""
        return not self.is_over

    def hold(self, runs: Collection[str], done: Collection[str]) -> None:
        """Note which runs are under way from the beginning, and which turn out to be done."""
        self._busy |= set(runs)
        for run in done:
            send(self._link, {"over": run})

    def begin(self, status: ExperimentStatus) -> Sequence[tuple[Run, int]]:
        """Return nothing: what is under way is known to whoever supplies."""
        del status
        return ()

    def started(self, run: Run, attempt: int) -> None:
        """Do nothing: a run counts from when it came."""

    def settle(self, run: Run, outcome: Outcome) -> Outcome:
        """Return how a run ended, as it is."""
        del run
        return outcome

    def ended(self, run: Run, outcome: Outcome) -> None:
        """Say which run is not to be done again, by nobody."""
        self._busy.discard(run.id)
        if outcome.kind not in UNFINISHED:
            send(self._link, {"over": run.id})

    def look(self, now: float) -> Sequence[str]:
        """End none early."""
        del now
        return ()

    def grow(self, room: int) -> Sequence[tuple[Run, int]]:
        """Return the runs that have come, and ask for more where there is room for them."""
        runs: list[tuple[Run, int]] = []
        while not self._come.empty():
            # room that was not filled is asked for again; here, as `_hear` is another thread
            self._last_wish = None
            for run_id, attempt in self._come.get():
                start = self._next_attempt(run_id, attempt)
                if start is None:
                    send(self._link, {"over": run_id})
                else:
                    runs.append(start)
                    self._busy.add(run_id)
        if runs:
            self._observer(RunsAdded(tuple(run for run, _ in runs)))
        wish = max(0, room - len(runs)), len(self._busy)
        if wish[0] and wish != self._last_wish and not self.is_over:
            self._last_wish = wish
            send(self._link, {"room": wish[0], "busy": wish[1]})
        return runs

    def finish(self) -> None:
        """Do nothing: how the runs ended stands in their directories."""
