"""Which machine of a batch does which run: each takes the next that nobody has, as it has room.

A run's turn is an object that is made once, `BATCH/taken/RUN.NUMBER`, with the number of the share
that took it. A run whose machine has ended without it, is gone, or is silent for long, is taken by
whoever makes the next number. What must stay true: of one number there is one object; who finds a
higher one than its own has the run no longer; where lists disagree the highest number counts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from runslot.transport.bucket.inventory import Inventory, MachineShare, read_listing
from runslot.transport.bucket.store import Missing, Store

SILENCE_S = 360.0
"""Age of its list from which a machine counts as lost; it writes one every two minutes at least."""
MOST_TURNS = 4
"""How many machines may have a run, one after the other: one that ends its machine is left then."""

_NAME = re.compile(r"([^./]+)\.(\d{4})")
_AT_ONCE = 16
_LEAVES_RUNS = frozenset({"stopped", "deadline", "failed"})
"""Ends of a machine's work that leave what it had taken to the others."""


class Pool:
    """The runs of a batch, as one of its machines takes them; for one thread at a time."""

    def __init__(
        self,
        store: Store,
        share: MachineShare,
        machine: str,
        runs: Sequence[str],
        silence_s: float = SILENCE_S,
        held: dict[str, int] | None = None,
    ) -> None:
        """`runs` are ids, in the order in which they are to be done; `machine` is its name; `held`
        is where to note what it has.
        """
        self._store = store
        self._share = share
        self._number = share.number
        self._machine = machine
        self._runs = tuple(runs)
        self._silence_s = silence_s
        self._numbers: dict[str, int] = {}
        """The highest number of each run that was taken, as far as is known."""
        self._takers: dict[tuple[str, int], int] = {}
        self.held = {} if held is None else held
        """Runs of this share, with the number of its turn."""

    def restore(self) -> None:
        """Find out what machines before have taken for this share."""
        takers = self._takers_of(self._list())
        own = {run: self._numbers[run] for run, share in takers.items() if share == self._number}
        self.held.clear()
        self.held.update(own)

    def take(self, most: int, besides: Collection[str] = ()) -> list[str]:
        """Take up to so many runs that nobody has, or else that a lost machine had, none of those
        `besides`; nothing where nothing is left.
        """
        # What was listed before is enough as long as it serves: others only take more.
        runs = self._take_free(most, besides) if self._numbers else []
        if not runs:
            self._list()
            runs = self._take_free(most, besides)
        if not runs:
            for run, number in self._left_behind(besides):
                if len(runs) == most:
                    break
                if self._try(run, number):
                    runs.append(run)
        return runs

    def _take_free(self, most: int, besides: Collection[str]) -> list[str]:
        free = [run for run in self._runs if run not in self._numbers and run not in besides]
        # Neighbours go to different machines, and two that begin at once do not ask for the same.
        first = free[self._number - 1 :: self._share.of]
        own_turn = set(first)
        runs: list[str] = []
        for run in (*first, *(run for run in free if run not in own_turn)):
            if len(runs) == most:
                break
            if run in self._numbers:
                continue
            if self._try(run, 1):
                runs.append(run)
            else:
                self._list()
        return runs

    def take_untaken(self, run: str) -> bool:
        """Take one run, unless a machine has it or had it."""
        return run not in self.held and self._try(run, 1)

    def lost(self) -> list[str]:
        """Return the runs of this share that another has taken since, and hold them no more."""
        numbers = self._list()
        lost = [run for run, number in self.held.items() if numbers.get(run, number) > number]
        for run in lost:
            del self.held[run]
        return lost

    def _try(self, run: str, number: int) -> bool:
        data = f"{self._number} {self._machine}".encode()
        name = self._object(run, number)
        # What was asked twice, since the first answer was lost, is refused though it is our own.
        if not self._store.put_new(name, data) and self._store.get(name) != data:
            return False
        self.held[run] = self._numbers[run] = number
        self._takers[run, number] = self._number
        return True

    def _object(self, run: str, number: int) -> str:
        return f"{self._share.batch}/taken/{run}.{number:04}"

    def _list(self) -> dict[str, int]:
        """Return the highest number of each run that was ever taken, as it is in the bucket."""
        self._numbers = numbers = dict[str, int]()
        for name in self._store.names(f"{self._share.batch}/taken"):
            match = _NAME.fullmatch(name.rpartition("/")[2])
            if match:
                numbers[match[1]] = max(numbers.get(match[1], 0), int(match[2]))
        return numbers

    def _takers_of(self, runs: Iterable[str]) -> dict[str, int]:
        """Return which share took each of these runs last."""
        turns = [(run, self._numbers[run]) for run in runs]
        missing = [turn for turn in turns if turn not in self._takers]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for turn, share in zip(missing, threads.map(self._taker, missing), strict=True):
                self._takers[turn] = share
        return {run: self._takers[run, number] for run, number in turns}

    def _taker(self, turn: tuple[str, int]) -> int:
        word = self._store.get(self._object(*turn)).split()[0]
        return int(word) if word.isdigit() else 0

    def _left_behind(self, besides: Collection[str]) -> Iterator[tuple[str, int]]:
        """Yield the runs of machines that do not go on with them, with their next number."""
        others = [run for run in self._numbers if run not in self.held and run not in besides]
        takers = self._takers_of(others)
        lists = {share: self._ended_list(share) for share in set(takers.values())}
        for run, share in takers.items():
            listing, number = lists[share], self._numbers[run]
            if listing is not None and run not in listing.over and number < MOST_TURNS:
                yield run, number + 1

    def _ended_list(self, number: int) -> Inventory | None:
        """Return the last list of a share whose machine does no more; None while it may."""
        share = MachineShare(self._share.batch, number, self._share.of)
        listing = read_listing(self._store, share)
        silent = listing.state == "working" and time.time() - listing.written > self._silence_s
        is_left = listing.state in _LEAVES_RUNS or silent or self._is_gone(share, listing.machine)
        return listing if is_left and listing.machine else None

    def _is_gone(self, share: MachineShare, machine: str) -> bool:
        try:
            return self._store.get(share.gone).decode(errors="replace") == machine
        except Missing:
            return False
