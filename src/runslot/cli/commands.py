"""Which commands there are: the line of each in the help, and where its function is.

`app` makes typer's commands of them, `plain` calls one whose command line is simple. What must stay
true: no command is loaded here, and no library.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from runslot.record import record


@record
class Subcommand:
    """A command: the function that carries it out, or a `typer.Typer` of further ones, and its line
    in the help.
    """

    place: str
    """`MODULE.NAME` below `runslot.cli`."""
    summary: str
    """The first sentences of the function's docstring."""

    @property
    def is_group(self) -> bool:
        """It has commands of its own, and is a `typer.Typer`."""
        return self.place.endswith(".app")

    def load(self) -> Any:
        """Return the function, or the `typer.Typer`."""
        module, _, name = self.place.rpartition(".")
        return getattr(importlib.import_module(f"runslot.cli.{module}"), name)


COMMANDS: Mapping[str, Subcommand] = {
    "run": Subcommand(
        "run_command.run",
        "Run a function or a command once for every variant and seed, in slots of this machine.",
    ),
    "resume": Subcommand(
        "resume.resume",
        "Run what is missing: runs that were not started, were stopped, or were lost with their"
        " machine.",
    ),
    "attach": Subcommand(
        "attach.attach",
        "Look on at an experiment that is under way, from any terminal; Ctrl-C leaves it running.",
    ),
    "status": Subcommand(
        "status.status",
        "Show how the runs of an experiment stand: what runs, with its last row or line, and what"
        " went wrong.",
    ),
    "queue": Subcommand(
        "queue.queue",
        "Show every experiment of yours that runs or waits on this machine, from whatever terminal"
        " it was launched.",
    ),
    "logs": Subcommand(
        "logs.logs", "Print what a run printed (its console.log); with -f go on while it runs."
    ),
    "stop": Subcommand(
        "stop.stop",
        "Stop an experiment, or some of its runs: each is asked to end, and killed when its grace"
        " is over.",
    ),
    "pull": Subcommand(
        "cloud.pull",
        "Bring home what rented machines have written: what has changed alone, outcomes after their"
        " data.",
    ),
    "pause": Subcommand(
        "stop.pause",
        "Start nothing further of an experiment that is under way; what runs goes on.",
    ),
    "continue": Subcommand(
        "stop.continue_", "Go on with an experiment that `runslot pause` has paused."
    ),
    "ls": Subcommand(
        "ls.ls",
        "List experiments: when they were launched, what they are, and how their runs stand.",
    ),
    "tag": Subcommand(
        "tag.tag",
        "Put tags on a run, a variant or an experiment, to find it by on the page and with"
        " --where.",
    ),
    "note": Subcommand(
        "tag.note",
        "Write a note on a run, a variant or an experiment, in the place of the one before.",
    ),
    "results": Subcommand(
        "results.results",
        "Compare variants: mean ± 95 % interval of final and best values over seeds, best first.",
    ),
    "confirm": Subcommand(
        "confirm.confirm",
        "Run the best variants again on fresh seeds: the best of many is partly the luckiest.",
    ),
    "view": Subcommand(
        "view.view",
        "Look at runs in a browser: curves over seeds, tables, slots; live while they run.",
    ),
    "plot": Subcommand(
        "plot.plot",
        "Draw a figure in paper size, and print its caption: who counts, and what is drawn.",
    ),
    "export": Subcommand(
        "results.export",
        "Write all runs (`runs`) and all their rows (`progress`) to files for other tools.",
    ),
    "hardware": Subcommand(
        "hardware.hardware",
        "Show this machine's packages, NUMA nodes, cores and GPUs, and the slots that runs would"
        " get.",
    ),
    "schema": Subcommand(
        "schema.schema",
        "Print the JSON Schema of sweep files, for editors; or of what commands print with --json.",
    ),
    "selftest": Subcommand(
        "selftest.selftest",
        "Run a few hundred tiny runs while their launchers, keepers and they themselves are killed"
        " at random.",
    ),
    "launchers": Subcommand("launchers.app", "List the configured launchers, or check them."),
    "cloud": Subcommand(
        "cloud.app",
        "List the machines that runslot rented, give them back, or delete what is in the bucket.",
    ),
}
