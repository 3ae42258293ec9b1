"""A run's page while the run goes on: what changed since it was sent, so that only that is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plotly.utils import PlotlyJSONEncoder

from runslot.view.plotly.curves import Figure
from runslot.view.web.live_runs import Moment
from runslot.view.web.memory import Memory
from runslot.view.web.run_page import row_of, run_cards, run_figures, run_heading
from runslot.view.web.texts import Texts


@dataclass(frozen=True)
class RunContent:
    """What the browser has of a run's page, but for its console and its code."""

    state: str | None
    heading: Any
    cards: Any
    figures: Mapping[str, Figure]
    """By metric."""

    def same(self, part: str, other: RunContent | None) -> bool:
        """Tell whether a part is as it was."""
        return other is not None and _text(getattr(self, part)) == _text(getattr(other, part))


def _text(component: Any) -> str:
    return json.dumps(component, cls=PlotlyJSONEncoder)


def shown_run(memory: Memory[RunContent], texts: Texts, run: str, moment: Moment) -> RunContent:
    """Return what a run's page shows now, and remember it; `NotFound` where the run is gone."""

    def draw() -> RunContent:
        row = row_of(moment.results, run)
        directory = texts.directory(row["path"])
        cards = run_cards(moment.results, row, directory, texts)
        return RunContent(row["state"], run_heading(row), cards, run_figures(moment.results, row))

    return memory.show(run, moment.version, draw)
