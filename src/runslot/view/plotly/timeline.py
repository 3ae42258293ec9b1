"""The slots over time: which attempt was in which slot, and how much of the machine's time was
used."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.experiment.journal import read_events
from runslot.experiment.states import COLOURS
from runslot.experiment.status import find_experiments
from runslot.results.results import Results
from runslot.view.plotly.figure import GREY, Figure, base_layout, plain

_MOST_BARS = 4000


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
        for experiment_dir in find_experiments(directory if directory.is_dir() else Path(selection.base)):
            try:
                if experiment_dir.journal_file.is_symlink():
                    continue
                stays, slots = _stays(read_events(experiment_dir.journal_file), names, states)
            except (RunslotError, OSError, KeyError):
                continue  # a broken journal shows no slots; `runslot status` says what is wrong with it
            waiting = {stay.run for stay in stays}
            mine = selection.runs.filter(selection.runs["experiment"] == experiment)
            queued = sum(
                1 for run, state in mine.select("run", "state").iter_rows() if state == "queued" and run not in waiting
            )
            queued += selection.waiting.get(experiment, 0)
            if stays:
                timelines.append(Launch(experiment, max(slots, len({stay.slot for stay in stays})), stays, queued))
    return timelines


def _stays(
    events: Iterable[Mapping[str, Any]], names: Mapping[str | None, str], states: Mapping[str, str | None]
) -> tuple[tuple[Stay, ...], int]:
    open_: dict[str, Stay] = {}
    ended: list[Stay] = []
    slots, host = 0, ""
    for event in events:
        run = names.get(event.get("run"))
        if event["event"] == "launcher_started":
            slots, host = max(slots, event.get("slots") or 0), event.get("host") or ""
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
                Stay(run, stay.attempt, stay.slot, start, outcome.get("ended") or event["time"], outcome["kind"])
            )
    # A run that the journal left open has ended since where its files say so.
    under_way = [stay for stay in open_.values() if states.get(stay.run) == "running"]
    return (*ended, *under_way), slots


def slots_figures(selection: Results) -> tuple[tuple[tuple[str, str], ...], tuple[Figure, ...], tuple[str, ...]]:
    """Return titles, figures and notes: a figure an experiment, a line a slot, a bar an attempt."""
    now = time.time()
    titles: list[tuple[str, str]] = []
    figures: list[Figure] = []
    for launch in launches(selection):
        busy = launch.busy(now)
        used = "" if busy is None else f"slots busy {busy:.0%} of the time, idle {1 - busy:.0%}"
        waiting = f"{launch.queued} queued" if launch.queued else ""
        titles.append((launch.name, ", ".join(part for part in (used, waiting) if part)))
        figures.append(_figure(launch, now))
    notes = ("no experiment of these runs has a journal; only runslot's own have one",) if not figures else ()
    return tuple(titles), tuple(figures), notes


def _figure(launch: Launch, now: float) -> Figure:
    stays = sorted(launch.stays, key=lambda stay: stay.start)[-_MOST_BARS:]
    slots = sorted({stay.slot for stay in stays}, key=lambda s: (len(s), s))
    traces = []
    for state, colour in COLOURS.items():
        stays_in_state = [stay for stay in stays if stay.state == state]
        if stays_in_state:
            traces.append(_bars(stays_in_state, state, colour, now))
    layout = base_layout("time (UTC)", "")
    layout |= {
        "barmode": "overlay",
        "bargap": 0.25,
        "hovermode": "closest",
        "showlegend": True,
        "height": 130 + 30 * len(slots),
    }
    layout["legend"] = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": GREY}}
    layout["xaxis"]["type"] = "date"
    layout["yaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": [plain(s) for s in slots[::-1]]}
    return {"data": traces, "layout": layout}


def _bars(stays: Sequence[Stay], state: str, colour: str, now: float) -> dict[str, Any]:
    lengths = [(now if stay.end is None else stay.end) - stay.start for stay in stays]
    return {
        "type": "bar",
        "orientation": "h",
        "base": [_moment(stay.start) for stay in stays],
        "x": [round(length * 1000) for length in lengths],  # a date axis counts in milliseconds
        "y": [plain(stay.slot) for stay in stays],
        "text": [
            plain(f"{stay.run}{f', attempt {stay.attempt}' if stay.attempt > 1 else ''}: {length:.1f} s")
            for stay, length in zip(stays, lengths, strict=True)
        ],
        "textposition": "none",
        "hovertemplate": f"%{{text}}<extra>{state}</extra>",
        "marker": {"color": colour, "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}},
        "name": state,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
