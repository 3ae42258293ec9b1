"""Two versions of runslot, side by side in one run: what the same commands cost in CPU time.

    python benchmarks/compare.py OLD NEW [--pairs 15] [--only PART …]

OLD and NEW are interpreters, each with a runslot of its own (two worktrees, each with its `.venv`).
For each part the two are called in turn, the order swapped from pair to pair, so that what else
the machine does falls on both. The time is user and system time of the command and of all that it
waited for, keepers and runs included. A ratio is the median over the pairs of new by old.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FUNCTION = "def train(variant):\n    return variant['lr']\n"
_LOGGED = """\
from runslot import logger
def train(variant):
    for row in range(100):
        for number in range(10):
            logger.record_tabular(f"metric{number}", row * variant["lr"])
        logger.dump_tabular()
"""
_LIMIT = 1.05
"""From which ratio on a part is marked."""
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Part:
    """A command that is timed; `made` one that is called once before, by each version itself."""

    command: tuple[str, ...]
    made: tuple[str, ...] = ()


_SCRIPTS = ("run", "--quiet", "--seeds", "100", "--grid", "lr=0.1,0.2", "--", "true")
_MADE = ("run", "--quiet", "--name", "made", "--seeds", "50", "logged.py:train", "--grid", "lr=1,2")
PARTS: Mapping[str, Part] = {
    "start-up: --version": Part(("--version",)),
    "start-up: run --help": Part(("run", "--help")),
    "scripts: 200 of `true`": Part(_SCRIPTS),
    "functions: 200": Part(
        ("run", "--quiet", "--seeds", "100", "empty.py:train", "--grid", "lr=0.1,0.2")
    ),
    "functions: 20 that log 100 rows": Part(
        ("run", "--quiet", "--seeds", "10", "logged.py:train", "--grid", "lr=0.1,0.2")
    ),
    "turnaround: one script": Part(("run", "--quiet", "--", "true")),
    "turnaround: one function": Part(("run", "--quiet", "empty.py:train", "--grid", "lr=0.1")),
    "results: 100 runs, nothing new": Part(("results", "MADE"), made=_MADE),
    "status: 100 runs": Part(("status", "MADE"), made=_MADE),
    "ls": Part(("ls",), made=_MADE),
}


class Version:
    """One of the two, with a root, locks and a cache of its own."""

    def __init__(self, python: str, place: Path) -> None:
        # not resolved: a virtual environment's interpreter is a link
        self._python = str(Path(python).absolute())
        self._place = place
        self._made: dict[tuple[str, ...], str] = {}
        for name, text in (("empty.py", _FUNCTION), ("logged.py", _LOGGED)):
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)

    def prepare(self, part: Part) -> None:
        """Make what the part looks at, and let it happen once unseen."""
        if part.made and part.made not in self._made:
            self._made[part.made] = self._call(part.made, "made").strip().splitlines()[-1]
        self.seconds(part)

    def seconds(self, part: Part) -> float:
        """Return the CPU time that the part took."""
        words = [self._made[part.made] if word == "MADE" else word for word in part.command]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._call(words, "made" if part.made else "runs")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        shutil.rmtree(self._place / "runs", ignore_errors=True)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    def _call(self, words: Sequence[str], root: str) -> str:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
        environment = {
            **kept,
            "HOME": str(self._place),
            "RUNSLOT_ROOT": str(self._place / root),
            "RUNSLOT_LOCKS": str(self._place / "locks"),
        }
        (self._place / "locks").mkdir(exist_ok=True)
        done = subprocess.run(
            [self._python, "-m", "runslot", *words],
            cwd=self._place,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        return done.stdout


def compare(old: Version, new: Version, part: Part, pairs: int) -> tuple[float, float, float]:
    """Return both medians, in seconds, and the median of the ratios."""
    old.prepare(part)
    new.prepare(part)
    times: list[tuple[float, float]] = []
    for number in range(pairs):
        order: list[Callable[[Part], float]] = [old.seconds, new.seconds]
        taken = [call(part) for call in (order if number % 2 == 0 else order[::-1])]
        times.append((taken[0], taken[1]) if number % 2 == 0 else (taken[1], taken[0]))
    ratios = [late / early for early, late in times]
    return (
        statistics.median(early for early, _ in times),
        statistics.median(late for _, late in times),
        statistics.median(ratios),
    )


def main() -> int:
    """Compare, print a line a part, and return 1 where one takes over 5 % more."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", help="an interpreter with the older runslot")
    parser.add_argument("new", help="an interpreter with the newer runslot")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=[""], help="parts whose names begin so")
    arguments = parser.parse_args()
    slower = False
    print(f"{'CPU time, medians of ' + str(arguments.pairs) + ' pairs':44}{'old':>9}{'new':>9}")
    with tempfile.TemporaryDirectory(prefix="runslot-compare-") as name:
        old = Version(arguments.old, Path(name, "old"))
        new = Version(arguments.new, Path(name, "new"))
        for title, part in PARTS.items():
            if not title.startswith(tuple(arguments.only)):
                continue
            early, late, ratio = compare(old, new, part, arguments.pairs)
            mark = "  slower" if ratio > _LIMIT else ""
            slower = slower or ratio > _LIMIT
            print(f"{title:44}{early:8.3f}s{late:8.3f}s{ratio:8.3f}{mark}", flush=True)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
