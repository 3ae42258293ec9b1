"""What a reader remembers: for each run how far its logs were read and where the rows are; and its
copy on disk.

On disk an index (JSON) and the rows (Arrow IPC files), in a directory of the user's cache that is
named by the directories read. It is only a copy: broken, old or gone, everything is read again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple

import polars as pl

from runslot.errors import NewerFormat, RunslotError
from runslot.experiment.files import read_json
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import check_format
from runslot.results.formats.csv_dialect import stack
from runslot.results.formats.csv_text import Cursor, monitor_start
from runslot.results.formats.files import read_bytes
from runslot.results.problems import Problem, Unread
from runslot.results.read.description import Description
from runslot.results.read.directories import RunFiles, Stamp
from runslot.results.read.layouts import is_monitor
from runslot.results.summary import Summary

FORMAT = 6
"""Of the index; another number is read as no cache at all."""
WORTH_KEEPING_BYTES = 8 << 20
"""Bytes of numbers; less is read again faster than a cache is looked after."""
_MANY_SEGMENTS = 48
_SMALL_SEGMENT_ROWS = 1 << 16
_UNUSED_AFTER_S = 30 * 86400.0
_INDEX = "index.json"


class Piece(NamedTuple):
    """Consecutive rows of one log in one segment."""

    segment: str
    start: int
    rows: int


@dataclass
class RunEntry:
    """One run: what its files say, and where its rows are."""

    files: RunFiles
    description: Description
    problems: list[Problem] = field(default_factory=list)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    """By log file, in the order of its rows."""
    summary: dict[str, Summary] = field(default_factory=dict)
    void: list[tuple[int, int]] = field(default_factory=list)
    """Rows, from and to (exclusive), that were logged and that a resume overtook."""
    counter: str | None = ""
    """The metric that counts its steps, None where none does; empty: as the names of its metrics
    say."""
    unread: list[Unread] = field(default_factory=list)
    """What of the run's logs is not among its rows."""

    @property
    def rows(self) -> int:
        """How many rows were logged and count."""
        logged = sum(piece.rows for pieces in self.pieces.values() for piece in pieces)
        return logged - sum(stop - start for start, stop in self.void)

    @property
    def has_several_clocks(self) -> bool:
        """Whether the logs are monitors of several environments, whose times count from the start
        of each."""
        return len(self.files.logs) > 1 and is_monitor(self.files.logs[0])


@dataclass
class ReaderState:
    """All that a reader knows: the runs by path, and the segments, frames that hold the rows of
    many runs each."""

    entries: dict[str, RunEntry] = field(default_factory=dict)
    segments: dict[str, pl.DataFrame] = field(default_factory=dict)

    def add(self, frame: pl.DataFrame) -> str:
        """Keep a frame; returns the name of its segment."""
        name = uuid.uuid4().hex
        self.segments[name] = frame
        return name

    def tidy(self) -> None:
        """Drop segments without rows in use, and join small ones once there are many."""
        used = {piece.segment for entry in self.entries.values() for piece in _all_pieces(entry)}
        self.segments = {name: frame for name, frame in self.segments.items() if name in used}
        small: dict[tuple[Any, ...], set[str]] = {}
        for name, frame in self.segments.items():
            if frame.height < _SMALL_SEGMENT_ROWS:
                small.setdefault(tuple(frame.schema.items()), set()).add(name)
        for names in small.values():
            if len(names) > _MANY_SEGMENTS:
                self._join(names)

    def _join(self, small: set[str]) -> None:
        """Replace segments of equal columns by one."""
        frames: list[pl.DataFrame] = []
        name, height = uuid.uuid4().hex, 0
        for path, entry in self.entries.items():
            moved: dict[str, list[Piece]] = {}
            for log, pieces in entry.pieces.items():
                for piece in pieces:
                    if piece.segment in small:
                        frames.append(self.segments[piece.segment].slice(piece.start, piece.rows))
                        moved.setdefault(log, []).append(Piece(name, height, piece.rows))
                        height += piece.rows
                    else:
                        moved.setdefault(log, []).append(piece)
            # a new entry: the results of earlier reads go on using the old one with the old
            # segments
            self.entries[path] = dataclasses.replace(entry, pieces=moved)
        self.segments = {n: frame for n, frame in self.segments.items() if n not in small}
        self.segments[name] = stack(frames).rechunk()


def _all_pieces(entry: RunEntry) -> Iterator[Piece]:
    return (piece for pieces in entry.pieces.values() for piece in pieces)


def logged_rows(entry: RunEntry, segments: Mapping[str, pl.DataFrame]) -> pl.DataFrame | None:
    """Return a run's rows in order, also those that are void; None where there are none.

    Several monitors are of several environments: as their own reader does it, times count from the
    first one's start, and episodes are put in the order of their ends.
    """
    frames = [
        frame
        for log, pieces in entry.pieces.items()
        for frame in _in_time(
            entry, log, [segments[piece.segment].slice(piece.start, piece.rows) for piece in pieces]
        )
    ]
    if not frames:
        return None
    frame = stack(frames)
    return (
        frame.sort("t", maintain_order=True)
        if entry.has_several_clocks and "t" in frame.columns
        else frame
    )


def _in_time(entry: RunEntry, log: str, frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Return the rows of one monitor of several with `t` from the start of the first one."""
    if not entry.has_several_clocks:
        return frames
    starts = {
        name: monitor_start(bytes.fromhex(cursor.head)) for name, cursor in entry.cursors.items()
    }
    times = [start for start in starts.values() if start is not None]
    start = starts.get(log)
    if start is None or start == min(times):
        return frames
    late = start - min(times)
    return [
        frame.with_columns(pl.col("t") + late) if "t" in frame.columns else frame
        for frame in frames
    ]


def rows_of(entry: RunEntry, segments: Mapping[str, pl.DataFrame]) -> pl.DataFrame | None:
    """Return those of a run's rows that count, in order; None where there are none."""
    frame = logged_rows(entry, segments)
    if frame is None or not entry.void:
        return frame
    bounds = [0, *(bound for gap in entry.void for bound in gap), frame.height]
    return stack(
        [
            frame.slice(begin, end - begin)
            for begin, end in zip(bounds[::2], bounds[1::2], strict=True)
        ]
    )


def rows_of_all(entries: Sequence[RunEntry], segments: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of all runs one after the other, without copying where they already stand
    so."""
    frames: list[pl.DataFrame] = []
    run: list[Piece] = []

    def flush() -> None:
        if run:
            frames.append(
                segments[run[0].segment].slice(run[0].start, sum(piece.rows for piece in run))
            )
            run.clear()

    for entry in entries:
        if entry.void or entry.has_several_clocks:
            flush()
            frame = rows_of(entry, segments)
            frames += [] if frame is None else [frame]
            continue
        for piece in _all_pieces(entry):
            if run and (
                run[-1].segment != piece.segment or run[-1].start + run[-1].rows != piece.start
            ):
                flush()
            run.append(piece)
    flush()
    return stack(frames) if frames else pl.DataFrame()


def directory_for(roots: Sequence[str], options: Sequence[str] = ()) -> Path:
    """Return where what was read of these directories, with these options, is kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    words = [*sorted(roots), *(f"\0{option}" for option in options)]
    name = hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return Path(home) / "runslot" / "results" / name


def load(directory: Path) -> ReaderState | None:
    """Return what was saved; None where there is nothing, or nothing that can be used."""
    try:
        index = json.loads((directory / _INDEX).read_bytes())
        if index["format"] != FORMAT:
            return None
        entries = {
            value["found"]["path"]: _entry(value) for value in index["entries"] if _readable(value)
        }
        segments = {
            name: pl.scan_ipc(directory / f"{name}.arrow").collect() for name in index["segments"]
        }
        os.utime(directory)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        return None  # a copy that is gone, half removed, or of another version: read again
    pieces = (piece for entry in entries.values() for piece in _all_pieces(entry))
    is_whole = all(
        p.segment in segments and p.start + p.rows <= segments[p.segment].height for p in pieces
    )
    return ReaderState(entries, segments) if is_whole else None


def save(directory: Path, state: ReaderState) -> list[Problem]:
    """Write what is new since the last save, the index last and by rename; returns why it could not
    be done."""
    if (
        sum(frame.height * frame.width * 8 for frame in state.segments.values())
        < WORTH_KEEPING_BYTES
    ):
        return []
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, frame in state.segments.items():
            file = directory / f"{name}.arrow"
            if not file.exists():
                temporary = file.with_suffix(f".{os.getpid()}.{get_ident()}")
                frame.write_ipc(temporary)
                temporary.replace(file)
        index = {
            "format": FORMAT,
            "segments": list(state.segments),
            "entries": [_json(entry) for entry in state.entries.values()],
        }
        temporary = directory / f"{_INDEX}.{os.getpid()}.{get_ident()}"
        temporary.write_text(json.dumps(index), encoding="utf-8", errors="surrogateescape")
        temporary.replace(directory / _INDEX)
        _remove_unused(directory, state)
    except OSError as error:
        return [
            Problem(
                str(directory), f"what was read cannot be kept for the next time ({error.strerror})"
            )
        ]
    return []


def _remove_unused(directory: Path, state: ReaderState) -> None:
    for file in directory.glob("*.arrow"):
        if file.stem not in state.segments:
            file.unlink(missing_ok=True)
    for other in directory.parent.iterdir():
        if other != directory and time.time() - other.stat().st_mtime > _UNUSED_AFTER_S:
            shutil.rmtree(other, ignore_errors=True)


def _json(entry: RunEntry) -> dict[str, Any]:
    """Return the entry as `_entry` reads it; records as their attributes, which
    `dataclasses.asdict` does slowly."""
    return {
        "found": vars(entry.files),
        "description": vars(entry.description),
        "problems": [vars(problem) for problem in entry.problems],
        "cursors": {log: vars(cursor) for log, cursor in entry.cursors.items()},
        "pieces": entry.pieces,
        "summary": entry.summary,
        "void": entry.void,
        "counter": entry.counter,
        "unread": [vars(unread) for unread in entry.unread],
    }


def _readable(value: Mapping[str, Any]) -> bool:
    """Tell whether a run's logs could be read: event files are tried again, tensorboard may be
    installed by now."""
    return value["found"]["kind"] != "tensorboard" or bool(value["pieces"])


def _entry(value: Mapping[str, Any]) -> RunEntry:
    run = value["found"]
    stamps = {name: (stamp[0], stamp[1], stamp[2]) for name, stamp in run["stamps"].items()}
    return RunEntry(
        RunFiles(
            run["path"],
            run["kind"],
            tuple(run["logs"]),
            stamps,
            tuple(run["settings"]),
            run["is_file"],
        ),
        Description(**value["description"]),
        [Problem(**problem) for problem in value["problems"]],
        {log: _cursor(cursor) for log, cursor in value["cursors"].items()},
        {log: [Piece(*piece) for piece in pieces] for log, pieces in value["pieces"].items()},
        {metric: Summary(*numbers) for metric, numbers in value["summary"].items()},
        [(start, stop) for start, stop in value["void"]],
        value["counter"],
        [Unread(**unread) for unread in value["unread"]],
    )


def _cursor(value: Mapping[str, Any]) -> Cursor:
    columns = value["columns"]
    return Cursor(**{**value, "columns": None if columns is None else tuple(columns)})


class Backlog:
    """Remembers which runs each experiment asked for, as long as its list does not change."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[Stamp, Mapping[str, str]]] = {}
        self._newer: dict[str, Problem] = {}

    def count(
        self, lists: Mapping[str, Stamp], present: Collection[str]
    ) -> dict[tuple[str, str], int]:
        """Return, by experiment directory and name of the variant, how many runs are not among the
        ids `present`."""
        self._lists = {path: names for path, names in self._lists.items() if path in lists}
        self._newer = {path: problem for path, problem in self._newer.items() if path in lists}
        counts: Counter[tuple[str, str]] = Counter()
        for path, stamp in lists.items():
            names = self._lists.get(path)
            if names is None or names[0] != stamp:
                names = self._lists[path] = (stamp, self._variants(path))
            counts.update((path, names[1][run]) for run in names[1].keys() - present)
        return counts

    def problems(self) -> list[Problem]:
        """Return which experiments a newer runslot wrote: nobody knows what these asked for."""
        return list(self._newer.values())

    def _variants(self, path: str) -> Mapping[str, str]:
        """Return by the id of each run of an experiment the name of its variant."""
        experiment = ExperimentDir(path)
        self._newer.pop(path, None)
        try:
            check_format(read_json(experiment.experiment_file) or {})
            return _names(read_bytes(experiment.runs_file) or b"")
        except NewerFormat as error:
            self._newer[path] = Problem(path, str(error))
            return {}
        except (RunslotError, OSError):
            return {}


def _names(data: bytes) -> Mapping[str, str]:
    variants = {}
    for line in data.split(b"\n")[:-1]:  # what follows the last newline is empty, or torn
        try:
            run = json.loads(line)
            check_format(run)
            variants[str(run["id"])] = str(run.get("name") or "")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # `runslot status` says what is wrong with it
    return variants
