"""How many runs are in each state, in words: for `ls`, `queue` and `status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.text import Text

from runslot.experiment.states import BUSIEST_FIRST, TERMINAL_STYLES


def state_counts(counts: Mapping[str, int], at_work: bool) -> Iterator[Text]:
    """Yield how many runs are in each state, in words; without a launcher at work, queued ones wait
    for nobody.
    """
    for state in BUSIEST_FIRST:
        if counts.get(state):
            word = "not started" if state == "queued" and not at_work else state
            yield Text(f"{counts[state]} {word}", style=TERMINAL_STYLES[state])
