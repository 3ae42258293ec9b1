"""`runslot continue`: end the pause of an experiment."""

from __future__ import annotations

from runslot.cli.pause import AtWork, ask


def continue_(directory: AtWork) -> None:
    """Go on with an experiment that `runslot pause` has paused."""
    ask(directory, paused=False)
