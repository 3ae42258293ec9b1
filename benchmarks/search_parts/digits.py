"""`examples/digits.py`: what a search for the grid's best costs of the grid's machine time.

The grid runs once, for real; searches over its values are then carried out on the rows that it
logged, by the study that a launch has, so that many seeds of the sampler take seconds. A run takes
the time of its epochs, and each start of one takes what the start of a run of one epoch took.
"""

from __future__ import annotations

import heapq
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine_parts.machine import Table, place
from runslot.search.roster import make_record
from runslot.search.spec import Search
from runslot.search.start import make_study, space_of
from runslot.search.study import Study
from runslot.search.trial import TrialRun
from runslot.variants import Variant

SPACE = {"lr": [0.1, 0.01, 0.001], "hidden": [32, 64]}
SEEDS, SLOTS, EPOCHS = 3, 2, 40
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits.py"
ASHA = {"prune": "asha:first=3,last=39"}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "promotion, 1 seed and 1 test seed": {**ASHA, "seeds": 1, "test_seeds": 1},
    "promotion, 1 seed and 2 test seeds": {**ASHA, "seeds": 1, "test_seeds": 2},
    "promotion, 3 seeds": ASHA,
    "promotion, 3 seeds, eta=4": {"prune": "asha:first=3,eta=4,last=39"},
    "promotion, 1 seed, no rung said": {"prune": "asha", "seeds": 1},
    "promotion, 1 seed and 1 test seed, no rung said": {
        "prune": "asha",
        "seeds": 1,
        "test_seeds": 1,
    },
    "stopping, 1 seed and 1 test seed": {**ASHA, "seeds": 1, "test_seeds": 1, "can_pause": False},
    "stopping, 3 seeds": {**ASHA, "can_pause": False},
    "whole runs, 1 seed and 1 test seed": {"can_pause": False, "seeds": 1, "test_seeds": 1},
}


@dataclass(frozen=True)
class Recorded:
    """What a run of the grid logged, and how long it took."""

    accuracies: Sequence[float]
    epoch_s: float
    """Seconds of an epoch."""
    start_s: float
    """Seconds of a run beside its epochs."""

    @property
    def whole_s(self) -> float:
        """Seconds of the run as it was in the grid."""
        return self.start_s + EPOCHS * self.epoch_s


Key = tuple[float, int, int]
"""Learning rate, hidden units, seed."""


def record_grid(directory: Path) -> dict[Key, Recorded]:
    """Run the grid below a directory, and return what its runs logged."""
    short = directory / "short.py"
    short.write_text(EXAMPLE.read_text().replace(f"EPOCHS = {EPOCHS}", "EPOCHS = 1"))
    starts, wholes = _durations(directory, short, 1), _durations(directory, EXAMPLE, SEEDS)
    # By the number of hidden units alone: what else differs is other work on the machine.
    paces = {}
    for hidden in SPACE["hidden"]:
        whole_s = statistics.median(run[0] for key, run in wholes.items() if key[1] == hidden)
        once_s = statistics.median(run[0] for key, run in starts.items() if key[1] == hidden)
        epoch_s = max(whole_s - once_s, 0.0) / (EPOCHS - 1)
        paces[hidden] = (epoch_s, max(whole_s - EPOCHS * epoch_s, 0.0))
    return {key: Recorded(run[1], *paces[int(key[1])]) for key, run in wholes.items()}


def _durations(directory: Path, file: Path, seeds: int) -> dict[Key, tuple[float, list[float]]]:
    """Return by run of a grid its seconds and its accuracies."""
    words = [f"--grid={key}={','.join(map(str, values))}" for key, values in SPACE.items()]
    command = [sys.executable, "-m", "runslot", "run", f"{file}:train", *words, "-q"]
    subprocess.run(
        [*command, "--seeds", str(seeds), "--root", str(directory)],
        check=True,
        cwd=directory,
        stdout=subprocess.DEVNULL,
    )
    runs = {}
    for outcome_file in directory.glob(f"{file.stem}/2*/**/run_*/outcome.json"):
        run = json.loads((outcome_file.parent / "run.json").read_text())["run"]
        outcome = json.loads(outcome_file.read_text())
        header, *rows = (outcome_file.parent / "progress.csv").read_text().split()
        column = header.split(",").index("accuracy")
        accuracies = [float(row.split(",")[column]) for row in rows]
        key = (run["variant"]["lr"], run["variant"]["hidden"], run["seed"])
        runs[key] = (outcome["ended"] - outcome["started"], accuracies)
    return runs


@dataclass
class Machine:
    """Slots in which the runs of a study log what the grid's runs logged, at the same pace."""

    grid: Mapping[Key, Recorded]
    study: Study
    can_pause: bool
    first_seed: int
    """With which of the grid's seeds the search begins, so that no one seed decides."""
    now: float = 0.0
    busy_s: float = 0.0
    """Seconds of slots that runs took."""
    epochs: dict[str, int] = field(default_factory=dict)
    """By run, how many it has behind it."""
    events: list[tuple[float, int, TrialRun]] = field(default_factory=list)
    """When which run will have logged its next row."""

    def search(self) -> None:
        """Carry the search out to its end."""
        self._fill()
        while self.events:
            self.now, _, run = heapq.heappop(self.events)
            self._log(run)
            self._fill()

    def _fill(self) -> None:
        for move in self.study.moves(SLOTS - len(self.events), self.can_pause):
            if move.run is not None:
                self.study.note_start(move.run.id)
                self._go_on(move.run, self._recorded(move.run).start_s)

    def _recorded(self, run: TrialRun) -> Recorded:
        variant = run.run.variant
        seed = (int(run.run.seed or 0) + self.first_seed) % SEEDS
        return self.grid[(variant["lr"], variant["hidden"], seed)]

    def _go_on(self, run: TrialRun, start_s: float = 0.0) -> None:
        seconds = start_s + self._recorded(run).epoch_s
        self.busy_s += seconds
        order = list(self.study.runs).index(run.id)
        heapq.heappush(self.events, (self.now + seconds, order, run))

    def _log(self, run: TrialRun) -> None:
        self.epochs[run.id] = count = self.epochs.get(run.id, 0) + 1
        accuracies = self._recorded(run).accuracies
        self.study.note_rows(run.id, [(step, accuracies[step]) for step in range(count)])
        if count == EPOCHS:
            self.study.note_end(run.id, "succeeded", accuracies[-1])
            self.study.judge(run.id, self.can_pause)
            return
        self.study.judge(run.id, self.can_pause)
        if run.halted:
            kind = "paused" if run.halted == "pause" else "pruned"
            self.study.note_end(run.id, kind, accuracies[count - 1])
        else:
            self._go_on(run)


def search(grid: Mapping[Key, Recorded], seed: int, words: Mapping[str, Any]) -> Machine:
    """Return a search over the grid's values that has come to its end."""
    settings = {"can_pause": True, "seeds": SEEDS, **words}
    can_pause, seeds = settings.pop("can_pause"), settings.pop("seeds")
    asked = Search("accuracy", "max", SPACE, trials=6, step="epoch", seed=seed, **settings)
    record = make_record(asked, [Variant({}, "")], range(seeds), "", None, False)
    study = make_study(record, "digits", space_of(record, Path()))
    machine = Machine(grid, study, can_pause, seed % SEEDS)
    machine.search()
    return machine


def measure(seeds: int) -> Table:
    """Return the table of what searches cost, and found."""
    columns = ["recipe", "machine time, % of the grid's", "at most", "the grid's best, %", "behind"]
    missing = [] if importlib.util.find_spec("sklearn") else ["scikit-learn"]
    if missing:
        return Table("The example's grid", "", columns, [], missing)
    with place() as directory:
        grid = record_grid(directory)
    whole_s = sum(run.whole_s for run in grid.values())
    means: dict[tuple[float, int], list[float]] = {}
    for (lr, hidden, _), run in grid.items():
        means.setdefault((lr, hidden), []).append(run.accuracies[-1])
    values = {key: statistics.mean(finals) for key, finals in means.items()}
    best = max(values.values())
    rows = []
    for name, words in RECIPES.items():
        shares, losses = [], []
        for seed in range(seeds):
            machine = search(grid, seed, words)
            winner = machine.study.best
            assert winner is not None
            shares.append(100 * machine.busy_s / whole_s)
            losses.append(best - values[(winner.params["lr"], winner.params["hidden"])])
        hits = 100 * sum(loss == 0 for loss in losses) / len(losses)
        numbers = [f"{statistics.median(shares):.1f}", f"{max(shares):.1f}", f"{hits:.0f}"]
        rows.append([name, *numbers, f"{max(losses):.4f}"])
    ranking = ", ".join(
        f"{lr}, {hidden}: {value:.4f}"
        for (lr, hidden), value in sorted(values.items(), key=lambda item: -item[1])
    )
    return Table(
        "The example's grid",
        f"""\
`examples/digits.py` over lr = 0.1, 0.01, 0.001 and hidden = 32, 64 with {SEEDS} seeds, searched
instead of run through, {SLOTS} at once, with `asha:first=3,last=39`, or with `asha` alone where no
rung is said: medians of {seeds} seeds of the sampler, each beginning with another seed of the
grid's, and the most that one took. `the grid's best`: how often the winner was the variant with the
best mean of {SEEDS}; `behind`: by how much accuracy the worst winner missed it. The grid, lr and
hidden:
{ranking}.""",
        columns,
        rows,
    )
