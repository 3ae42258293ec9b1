"""A run's page while the run goes on: what changed since it was sent, so that only that is sent."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plotly.utils import PlotlyJSONEncoder

from runslot.view.plotly.curves import Figure
from runslot.view.web.live_runs import Moment
from runslot.view.web.run_page import asked_run, run_cards, run_figures, run_heading
from runslot.view.web.texts import Texts

_KEPT = 16


@dataclass(frozen=True)
class RunShown:
    """What the browser has of a run's page, but for its console and its code."""

    state: str | None
    heading: Any
    cards: Any
    figures: Mapping[str, Figure]
    """By metric."""

    def same(self, part: str, other: RunShown | None) -> bool:
        """Tell whether a part is as it was."""
        return other is not None and _text(getattr(self, part)) == _text(getattr(other, part))


def _text(component: Any) -> str:
    return json.dumps(component, cls=PlotlyJSONEncoder)


class RunMemory:
    """What was sent lately, by run and the version of the runs; safe to use from several threads."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._kept: OrderedDict[tuple[str, int], RunShown] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run: str, version: int) -> RunShown | None:
        """Return what was shown then, where it is still known."""
        with self._lock:
            return self._kept.get((run, version))

    def show(self, run: str, moment: Moment) -> RunShown:
        """Return what the page shows now, and remember it; `NotFound` where the run is gone."""
        known = self.get(run, moment.version)
        if known is not None:
            return known
        row = asked_run(moment.results, run)
        directory = self._texts.directory(row["path"])
        shown = RunShown(
            row["state"],
            run_heading(row),
            run_cards(moment.results, row, directory, self._texts),
            run_figures(moment.results, row),
        )
        with self._lock:
            self._kept[run, moment.version] = shown
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return shown
