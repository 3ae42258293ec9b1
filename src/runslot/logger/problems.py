"""What the logger could not do: said once, counted, and left for the run's outcome; the training
goes on.

Said on standard error and not with `warnings`, which a script may have turned into exceptions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runslot.errors import RunslotError
from runslot.experiment.files import read_json, write_json
from runslot.experiment.rundir import RunDir

OnError = Literal["warn", "raise"]


@dataclass
class _Problem:
    first: str
    count: int = 1
    lost: int = 0
    solved: bool = False


class Problems:
    """Counts what went wrong, by the thing that it went wrong with."""

    def __init__(self) -> None:
        self.on_error: OnError = "warn"
        self._by_thing: dict[str, _Problem] = {}
        self._said: set[str] = set()
        self._directory: Path | None = None
        self._saved: list[str] = []

    def report_to(self, directory: Path | None) -> None:
        """Leave the problems in this run directory from now on."""
        self._directory = directory

    def met(self, thing: str, error: BaseException | str, *, lost: int = 0) -> None:
        """Count one failure with `thing`; say it the first time. `lost`: rows or lines that are
        gone for good.
        """
        problem = self._by_thing.get(thing)
        if problem is not None:
            problem.count += 1
            problem.lost += lost
            problem.solved = False
            return
        text = str(error) or type(error).__name__
        self._by_thing[thing] = _Problem(first=text, lost=lost)
        self.say(f"{thing}: {text}; the run goes on, and this is said once")
        self.save()

    def solved(self, thing: str) -> None:
        """Note that all that was held back for `thing` has been written since."""
        if thing in self._by_thing:
            self._by_thing[thing].solved = True

    def say_once(self, kind: str, text: str) -> None:
        """Warn of something that is no failure, the first time it is of this kind."""
        if kind not in self._said:
            self._said.add(kind)
            self.say(text)

    @staticmethod
    def say(text: str) -> None:
        """Write a line to standard error, if there is one."""
        try:
            print(f"runslot.logger: {text}", file=sys.stderr, flush=True)
        except (OSError, ValueError):
            pass  # closed: there is nobody to tell

    def sentences(self) -> list[str]:
        """Return one sentence for each thing that had problems."""
        return [_sentence(thing, problem) for thing, problem in self._by_thing.items()]

    def save(self) -> None:
        """Write the sentences into the run directory, beside those of other processes, if that can
        be done.
        """
        if self._directory is None or not self._by_thing:
            return
        file, sentences = RunDir(self._directory).logger_problems, self.sentences()
        try:
            earlier = (read_json(file) or {}).get("problems", [])
            write_json(
                file,
                {"problems": [text for text in earlier if text not in self._saved] + sentences},
            )
            self._saved = sentences
        except (OSError, RunslotError):
            pass  # the disk that is full: tried again at the next problem and at the end

    def after_fork(self) -> None:
        """In the child: what the parent met is the parent's to report."""
        self._by_thing.clear()
        self._saved.clear()


def _sentence(thing: str, problem: _Problem) -> str:
    times = "once" if problem.count == 1 else f"{problem.count} times"
    text = f"{thing}: failed {times} ({problem.first})"
    if problem.lost:
        return f"{text}; {problem.lost} lost"
    return f"{text}; written since" if problem.solved else text
