"""Runs that come to a worker one after the other: room is asked for once."""

from __future__ import annotations

import socket
import threading
from queue import SimpleQueue
from typing import Any

import pytest

from runslot.experiment.records import Run
from runslot.remote import supply
from runslot.remote.supply import Supply, lines_of, send

SLOTS = 2


@pytest.mark.parametrize(
    ("runs", "wishes"),
    [
        (["a"], [{"room": 2, "busy": 0}, {"room": 1, "busy": 1}]),
        (["a", "b"], [{"room": 2, "busy": 0}]),
    ],
)
def test_room_is_asked_for_once_whenever_the_worker_looks(
    monkeypatch: pytest.MonkeyPatch, runs: list[str], wishes: list[dict[str, int]]
) -> None:
    """It may look at any moment while it hears of what has come: here, at each."""
    started: list[Any] = []
    woken = threading.Event()

    def look() -> None:
        started.extend(under_test.grow(SLOTS - len(started)))

    class Watched(SimpleQueue[Any]):
        def put(self, item: Any, *more: Any) -> None:
            super().put(item, *more)
            look()

    monkeypatch.setattr(supply, "SimpleQueue", Watched)
    here, there = socket.socketpair()
    under_test = Supply(
        here, lambda run, attempt: (Run(run, "", {}, run), attempt), woken.set, lambda _: None
    )
    look()
    send(there, {"runs": [[run, 1] for run in runs]})
    assert woken.wait(60)
    look()
    here.shutdown(socket.SHUT_WR)
    assert list(lines_of(there)) == wishes
    assert [run.id for run, _ in started] == runs
    there.close()
    here.close()
