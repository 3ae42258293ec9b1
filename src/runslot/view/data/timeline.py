"""The slots over time: which attempt was in which slot, and how much of the machine's time was
used.

`runslot.view.plotly.timeline` draws it. Alone in this room it reads files: the journals of
experiments.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.experiment.journal import read_events
from runslot.experiment.status import find_experiments
from runslot.record import record
from runslot.results.results import Results


@record
class Stay:
    """One attempt of a run in one slot."""

    run: str
    attempt: int
    slot: str
    """Host where there are several, and number."""
    start: float
    end: float | None
    """None while it runs."""
    state: str


@record
class Launch:
    """The slots of one experiment, over the time in which a launcher was at work."""

    name: str
    slots: int
    stays: tuple[Stay, ...]
    queued: int

    def busy(self, now: float) -> float | None:
        """Return the share of the slots' time in which a run was in them; None where no time has
        passed."""
        if not self.stays or not self.slots:
            return None
        start = min(stay.start for stay in self.stays)
        end = max(now if stay.end is None else stay.end for stay in self.stays)
        used = sum((now if stay.end is None else stay.end) - stay.start for stay in self.stays)
        return min(1.0, used / (self.slots * (end - start))) if end > start else None


def launches(selection: Results) -> list[Launch]:
    """Read the journals of the experiments of these runs; an experiment without one is left out."""
    names = dict(zip(selection.runs["id"], selection.runs["run"], strict=True))
    states = dict(zip(selection.runs["run"], selection.runs["state"], strict=True))
    timelines = []
    for experiment in selection.runs["experiment"].unique(maintain_order=True):
        directory = Path(os.path.realpath(Path(selection.base, experiment)))
        if not any(directory.is_relative_to(root) for root in selection.roots):
            continue  # run.json says where its experiment is; only what was asked for is read
        for experiment_dir in find_experiments(
            directory if directory.is_dir() else Path(selection.base)
        ):
            try:
                if experiment_dir.journal_file.is_symlink():
                    continue
                stays, slots = _stays(read_events(experiment_dir.journal_file), names, states)
            except (RunslotError, OSError, KeyError):
                # a broken journal shows no slots; `runslot status` says what is wrong with it
                continue
            waiting = {stay.run for stay in stays}
            mine = selection.runs.filter(selection.runs["experiment"] == experiment)
            queued = sum(
                1
                for run, state in mine.select("run", "state").iter_rows()
                if state == "queued" and run not in waiting
            )
            queued += selection.waiting.get(experiment, 0)
            if stays:
                timelines.append(
                    Launch(
                        experiment, max(slots, len({stay.slot for stay in stays})), stays, queued
                    )
                )
    return timelines


def _stays(
    events: Iterable[Mapping[str, Any]],
    names: Mapping[str | None, str],
    states: Mapping[str, str | None],
) -> tuple[tuple[Stay, ...], int]:
    open_: dict[str, Stay] = {}
    ended: list[Stay] = []
    slots, host = 0, ""
    for event in events:
        run = names.get(event.get("run"))
        if event["event"] == "launcher_started":
            slots, host = max(slots, event.get("slots") or 0), event.get("host") or ""
        elif event["event"] == "recarved":
            slots = max(slots, event["slots"])
        elif run is None:
            continue
        elif event["event"] == "start":
            slot = "queue" if event.get("slot") is None else f"{host} slot {event['slot']}"
            open_[run] = Stay(run, event["attempt"], slot, event["time"], None, "running")
        elif event["event"] == "slot_taken":
            open_.pop(run, None)
        elif event["event"] == "ended" and run in open_:
            stay, outcome = open_.pop(run), event["outcome"]
            start = outcome.get("started") or stay.start
            ended.append(
                Stay(
                    run,
                    stay.attempt,
                    stay.slot,
                    start,
                    outcome.get("ended") or event["time"],
                    outcome["kind"],
                )
            )
    # A run that the journal left open has ended since where its files say so.
    under_way = [stay for stay in open_.values() if states.get(stay.run) == "running"]
    return (*ended, *under_way), slots
