"""Read the runs below some directories, and afterwards only what changed: `load` once, or a `Reader` again and again.

What was read is remembered by byte offsets, in memory and, where reading it takes a while, in the user's cache
directory; nothing is ever written among the runs.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from runslot.errors import NotFound
from runslot.results import csv_text, store, tensorboard
from runslot.results.csv_text import Parsed, Text
from runslot.results.describing import describe
from runslot.results.finding import Found, Stamp, find, roots_of
from runslot.results.problems import Problem
from runslot.results.results import Results
from runslot.results.store import Entry, Piece, State
from runslot.results.summary import summarise
from runslot.results.waiting import Waiting

EVENTS = "events"
"""Under which the rows of all of a run's event files are kept; they are read together."""


def load(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, cache: bool = True) -> Results:
    """Read all runs below `paths`: experiments, collections, single runs, or directories that hold any of them.

    Symbolic links below a path are not followed. What cannot be read is named in `Results.problems` and left out.
    With `cache`, large logs are remembered under `$XDG_CACHE_HOME/runslot`. Raises `NotFound` where a path does not
    exist or no run lies below any of them.
    """
    results = Reader(paths, cache=cache).read()
    if not results.runs.height and not results.waiting:
        names = ", ".join(str(path) for path in _several(paths))
        raise NotFound(
            f"no run lies below {names}; a run is a directory with run.json, progress.csv, Lightning's metrics.csv, "
            "Stable-Baselines3's monitor.csv, or TensorBoard event files"
        )
    return results


def _several(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


class Reader:
    """Reads the same directories repeatedly; each `read` costs what was appended since the one before."""

    def __init__(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, cache: bool = True) -> None:
        self.roots = roots_of(_several(paths))
        self._directory = store.directory_for(self.roots) if cache else None
        self._waiting = Waiting()
        self._state = (store.load(self._directory) if self._directory else None) or State()

    def read(self) -> Results:
        """Return all runs as they are now; an empty `Results` where there are none yet."""
        problems: list[Problem] = []
        lists: dict[str, Stamp] = {}
        found = find(self.roots, problems, lists)
        before = self._state.entries
        entries: dict[str, Entry] = {}
        changed: list[Entry] = []
        logs: dict[str, tuple[Entry, str]] = {}
        experiments: dict[Path, str | None] = {}
        for run in found:
            entry = before.get(run.path)
            if entry is None or entry.found != run:
                entry, written = _described(run, entry, experiments)
                changed.append(entry)
                logs |= {f"{run.path}/{log}": (entry, log) for log in written}
            entries[run.path] = entry
        forgotten = before.keys() - entries.keys()
        self._state.entries = entries
        if changed:
            self._read_logs(logs)
            self._summarise(changed)
        if changed or forgotten:
            self._state.tidy()
            if self._directory is not None:
                problems += store.save(self._directory, self._state)
        problems += [problem for entry in entries.values() for problem in entry.problems]
        ids = {entry.description.id for entry in entries.values() if entry.description.id}
        waiting = self._waiting.count(lists, ids)
        return Results.of(self.roots, list(entries.values()), dict(self._state.segments), problems, waiting)

    def _read_logs(self, logs: Mapping[str, tuple[Entry, str]]) -> None:
        owners = {path: owner for path, owner in logs.items() if path.endswith(".csv")}
        broken: list[Problem] = []
        for parsed in csv_text.parse(_new_texts(owners), broken):
            self._keep(parsed, owners)
        for problem in broken:
            owners[problem.path][0].problems.append(problem)
        for entry in {id(entry): entry for path, (entry, _) in logs.items() if path not in owners}.values():
            self._read_events(entry)

    def _keep(self, parsed: Parsed, owners: Mapping[str, tuple[Entry, str]]) -> None:
        segment = self._state.add(parsed.frame)
        starts = itertools.accumulate(parsed.heights, initial=0)
        for text, start, height in zip(parsed.texts, starts, parsed.heights, strict=False):
            entry, log = owners[text.path]
            entry.pieces.setdefault(log, []).append(Piece(segment, start, height))

    def _read_events(self, entry: Entry) -> None:
        events = [log for log in entry.found.logs if not log.endswith(".csv")]
        entry.pieces.clear()
        frame = tensorboard.read([f"{entry.found.path}/{log}" for log in events], entry.problems)
        if frame is not None and frame.height:
            entry.pieces[EVENTS] = [Piece(self._state.add(frame), 0, frame.height)]

    def _summarise(self, entries: Sequence[Entry]) -> None:
        """Summarise some runs anew, a bounded number of rows at a time."""
        key = "row"  # no metric has this name
        for some in _portions(entries):
            frames = [
                frame.with_columns(pl.lit(number, pl.UInt32).alias(key))
                for number, entry in some
                if (frame := store.rows_of(entry, self._state.segments)) is not None
            ]
            found = summarise(csv_text.stack(frames), key) if frames else {}
            for number, entry in some:
                entry.summary = found.get(number, {})


def _portions(entries: Sequence[Entry], rows: int = 2_000_000) -> Iterator[list[tuple[int, Entry]]]:
    portion: list[tuple[int, Entry]] = []
    held = 0
    for number, entry in enumerate(entries):
        portion.append((number, entry))
        held += entry.rows
        if held >= rows:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion


def _described(run: Found, before: Entry | None, experiments: dict[Path, str | None]) -> tuple[Entry, list[str]]:
    """Return the run's entry, with what is still right of what was read of its logs, and the logs that were written to.

    A log in another inode is another file: a further attempt's, or one that its logger replaced by rename.
    """
    problems: list[Problem] = []
    entry = Entry(run, describe(run, problems, experiments), problems)
    known = before if before is not None and before.found.logs == run.logs else None
    if known is None:
        return entry, list(run.logs)
    kept = [log for log in run.logs if known.found.stamps[log][0] == run.stamps[log][0]]
    entry.cursors = {log: known.cursors[log] for log in kept if log in known.cursors}
    entry.pieces = {log: list(pieces) for log, pieces in known.pieces.items() if log in (*kept, EVENTS)}
    paths = {f"{run.path}/{log}" for log in kept}
    entry.problems += [problem for problem in known.problems if problem.path in paths]
    return entry, [log for log in run.logs if known.found.stamps[log] != run.stamps[log]]


def _new_texts(owners: Mapping[str, tuple[Entry, str]]) -> Iterator[Text]:
    for path, (entry, log) in owners.items():
        try:
            text = csv_text.read_new(path, entry.cursors.get(log))
        except OSError as error:
            entry.problems.append(Problem(path, f"cannot be read ({error.strerror})"))
            continue
        if text is None or text.restarted:
            entry.pieces.pop(log, None)
            entry.cursors.pop(log, None)
            entry.problems = [problem for problem in entry.problems if problem.path != path]
        if text is not None:
            entry.cursors[log] = text.cursor
            yield text
