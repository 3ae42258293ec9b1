"""The slots over time as Plotly figures: a figure an experiment, a line a slot, a bar an
attempt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from runslot.experiment.states import COLOURS
from runslot.results.results import Results
from runslot.view.data.timeline import Launch, Stay, launches
from runslot.view.plotly.figure import GREY, Figure, base_layout, plain

_MOST_BARS = 4000


def slots_figures(
    selection: Results,
) -> tuple[tuple[tuple[str, str], ...], tuple[Figure, ...], tuple[str, ...]]:
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
    notes = (
        ("no experiment of these runs has a journal; only runslot's own have one",)
        if not figures
        else ()
    )
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
    layout["legend"] = {
        "orientation": "h",
        "y": 1.02,
        "yanchor": "bottom",
        "x": 0,
        "font": {"color": GREY},
    }
    layout["xaxis"]["type"] = "date"
    layout["yaxis"] |= {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": [plain(s) for s in slots[::-1]],
    }
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
            plain(
                f"{stay.run}{f', attempt {stay.attempt}' if stay.attempt > 1 else ''}:"
                f" {length:.1f} s"
            )
            for stay, length in zip(stays, lengths, strict=True)
        ],
        "textposition": "none",
        "hovertemplate": f"%{{text}}<extra>{state}</extra>",
        "marker": {"color": colour, "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}},
        "name": state,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
