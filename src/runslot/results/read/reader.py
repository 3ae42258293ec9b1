"""Read the runs below some directories, and afterwards only what changed: `load` once, or a
`Reader` again and again.

What was read is remembered by byte offsets, in memory and, where reading it takes a while, in the
user's cache directory; nothing is ever written among the runs.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from runslot.errors import InvalidInput, NotFound, RunslotError
from runslot.experiment.annotations import read_annotations
from runslot.results.formats import csv_text, json_lines, sacred, tensorboard
from runslot.results.formats.csv_dialect import NotATable, stack
from runslot.results.formats.csv_text import Parsed, Text
from runslot.results.problems import Problem, Unread
from runslot.results.read import steps, store
from runslot.results.read.description import describe
from runslot.results.read.directories import RunFiles, Stamp, Survey, roots_of
from runslot.results.read.layouts import format_of
from runslot.results.read.run_path import PathTemplate, RunPaths
from runslot.results.read.script_logs import read_script_log
from runslot.results.read.store import Backlog, Piece, ReaderState, RunEntry
from runslot.results.results import Results
from runslot.results.summary import summarise

EVENTS = "events"
"""Under which the rows of all of a run's event files are kept; they are read together."""
_NAMES_SHOWN = 3

AnyPath = str | os.PathLike[str]


def load(
    paths: AnyPath | Sequence[AnyPath],
    *,
    cache: bool = True,
    path: str | None = None,
    log: Sequence[str] = (),
) -> Results:
    """Read all runs below `paths`: experiments, collections, single runs, or directories that hold
    any of them.

    Symbolic links below a path are not followed. What cannot be read is named in `Results.problems`
    and left out; files that may hold numbers and are no known log stand in `Results.unread`. With
    `cache`, large logs are remembered under `$XDG_CACHE_HOME/runslot`. `path` is a template, such
    as `{algo}/{env}_{seed}`, of what the names of directories mean; `log` holds patterns of files
    that are logs, too. Raises `NotFound` where a path does not exist or no run lies below any of
    them, `InvalidInput` where the template is none or fits no run.
    """
    reader = Reader(paths, cache=cache, path=path, log=log)
    results = reader.read()
    if not results.runs.height and not results.waiting:
        raise NotFound(
            _nothing_found(
                ", ".join(str(path_given) for path_given in _several(paths)), results.unread
            )
        )
    reader.check_template(results)
    return results


def _nothing_found(names: str, unread: Sequence[Unread]) -> str:
    if unread:
        more = f"; and {len(unread) - _NAMES_SHOWN} more" if len(unread) > _NAMES_SHOWN else ""
        return (
            f"no run lies below {names}; not read:"
            f" {'; '.join(str(file) for file in unread[:_NAMES_SHOWN])}{more}"
        )
    return (
        f"no run lies below {names}; a run is a directory with run.json, progress.csv or another"
        " program's log (docs: results, what is read), or name logs with --log 'GLOB'"
    )


def _several(paths: AnyPath | Sequence[AnyPath]) -> list[AnyPath]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


@dataclass
class ReadingProgress:
    """How far a `Reader.read` is, for another thread that shows it: of how many runs (None until
    all directories were looked through), whose settings, and whose logs, were read."""

    total: int | None = None
    described: int = 0
    read: int = 0


class Reader:
    """Reads the same directories repeatedly; each `read` costs what was appended since the one
    before."""

    def __init__(
        self,
        paths: AnyPath | Sequence[AnyPath],
        *,
        cache: bool = True,
        path: str | None = None,
        log: Sequence[str] = (),
    ) -> None:
        self.roots = roots_of(_several(paths))
        self._places = RunPaths(self.roots, None if path is None else PathTemplate.parse(path))
        self._globs = tuple(log)
        options = [
            *([f"path {path}"] if path is not None else []),
            *(f"log {glob}" for glob in log),
        ]
        self._directory = store.directory_for(self.roots, options) if cache else None
        self._waiting = Backlog()
        self._heads: dict[str, tuple[Stamp, str]] = {}
        self.progress = ReadingProgress()
        self._state = (store.load(self._directory) if self._directory else None) or ReaderState()

    def read(self) -> Results:
        """Return all runs as they are now; an empty `Results` where there are none yet."""
        self.progress = ReadingProgress()
        survey = Survey(self._globs, self._heads).look(self.roots)
        before = self._state.entries
        stale = (
            run for run in survey.runs if run.path not in before or before[run.path].files != run
        )
        self.progress.total = sum(1 for _ in stale)
        entries: dict[str, RunEntry] = {}
        changed: list[RunEntry] = []
        logs: dict[str, tuple[RunEntry, str]] = {}
        experiments: dict[Path, str | None] = {}
        for run in survey.runs:
            entry = before.get(run.path)
            if entry is None or entry.files != run:
                entry, written = _described(run, entry, experiments, self._places)
                changed.append(entry)
                logs |= {run.file(log): (entry, log) for log in written}
            entries[run.path] = entry
            self.progress.described += 1
        forgotten = before.keys() - entries.keys()
        self._state.entries = entries
        problems = survey.problems
        if changed:
            self._read_logs(logs)
            self._summarise(changed)
        if changed or forgotten:
            self._state.tidy()
            if self._directory is not None:
                problems += store.save(self._directory, self._state)
        problems += [problem for entry in entries.values() for problem in entry.problems]
        unread = survey.unread + [file for entry in entries.values() for file in entry.unread]
        ids = {entry.description.id for entry in entries.values() if entry.description.id}
        waiting = self._waiting.count(survey.lists, ids)
        problems += self._waiting.problems()
        segments = dict(self._state.segments)
        annotations = self._annotations_of(entries.values(), problems)
        return Results.of(
            self.roots,
            list(entries.values()),
            segments,
            problems,
            waiting,
            unread,
            annotations,
        )

    def _annotations_of(
        self, entries: Collection[RunEntry], problems: list[Problem]
    ) -> dict[str, tuple[str, str]]:
        """Return by run's path the tags and notes that people put on it, of those that have any."""
        annotations: dict[str, tuple[str, str]] = {}
        homes = {e.description.experiment for e in entries if e.description.experiment}
        by_home = {}
        for home in homes:
            try:
                by_home[home] = read_annotations(Path(home))
            except (RunslotError, OSError) as error:
                problems.append(Problem(home, str(error)))
        if not any(record.tags or record.notes for record in by_home.values()):
            return annotations
        for entry in entries:
            home = entry.description.experiment or ""
            if home in by_home:
                words = by_home[home].of(os.path.relpath(entry.files.path, home))
                if any(words):
                    annotations[entry.files.path] = words
        return annotations

    def check_template(self, results: Results) -> None:
        """Raise `InvalidInput` where the template of paths fits none of the runs of other
        programs."""
        template = self._places.template
        runs = [
            entry.files for entry in self._state.entries.values() if entry.files.kind != "runslot"
        ]
        if template is None or not runs or any(self._places.fields_of(run) for run in runs):
            return
        example = os.path.relpath(runs[0].path, results.base)
        raise InvalidInput(
            f"--path {template.text!r} fits none of {len(runs)} runs, the first is {example!r}"
        )

    def _read_logs(self, logs: Mapping[str, tuple[RunEntry, str]]) -> None:
        formats = {path: format_of(path, entry.files.kind) for path, (entry, _) in logs.items()}
        owners = {path: owner for path, owner in logs.items() if formats[path] == "csv"}
        broken: list[Problem] = []
        for parsed in csv_text.parse(self._counted(_new_texts(owners), owners), broken):
            self._keep(parsed, owners)
        for problem in broken:
            owners[problem.path][0].problems.append(problem)
        whole: dict[int, RunEntry] = {}
        for path, (entry, log) in logs.items():
            if formats[path] == "jsonl":
                self.progress.read += 1
                self._read_json_lines(entry, log)
            elif path not in owners:
                whole[id(entry)] = entry
        for entry in whole.values():
            self.progress.read += 1
            self._read_whole(entry)

    def _counted(
        self, texts: Iterator[Text], owners: Mapping[str, tuple[RunEntry, str]]
    ) -> Iterator[Text]:
        """Yield texts, and note how many runs they are of."""
        runs = set()
        for text in texts:
            runs.add(owners[text.path][0].files.path)
            self.progress.read = len(runs)
            yield text

    def _keep(self, parsed: Parsed, owners: Mapping[str, tuple[RunEntry, str]]) -> None:
        segment = self._state.add(parsed.frame)
        starts = itertools.accumulate(parsed.heights, initial=0)
        for text, start, height in zip(parsed.texts, starts, parsed.heights, strict=False):
            entry, log = owners[text.path]
            entry.pieces.setdefault(log, []).append(Piece(segment, start, height))
        for text, columns in zip(parsed.texts, parsed.columns, strict=False):
            if columns is not None:
                entry, log = owners[text.path]
                entry.cursors[log] = dataclasses.replace(entry.cursors[log], columns=columns)

    def _read_json_lines(self, entry: RunEntry, log: str) -> None:
        path = entry.files.file(log)
        problems: list[Problem] = []
        try:
            lines = json_lines.read_new(path, entry.cursors.get(log), problems)
        except OSError as error:
            entry.problems.append(Problem(path, f"cannot be read ({error.strerror})"))
            return
        if lines.restarted:
            _forget(entry, log)
        entry.problems += problems
        entry.cursors[log] = lines.cursor
        if lines.frame.height:
            entry.pieces.setdefault(log, []).append(
                Piece(self._state.add(lines.frame), 0, lines.frame.height)
            )

    def _read_whole(self, entry: RunEntry) -> None:
        """Read logs that are no rows, from the beginning: event files, Sacred's metrics."""
        run = entry.files
        entry.pieces.clear()
        entry.unread.clear()
        if format_of(run.logs[0], run.kind) == "sacred":
            frame = sacred.read_metrics(run.file(run.logs[0]), entry.problems)
        elif format_of(run.logs[0], run.kind) == "script":
            frame = read_script_log(run.path, run.logs[0], entry.problems, entry.unread)
        else:
            files = [run.file(log) for log in run.logs if format_of(log) == "events"]
            frame = tensorboard.read(files, entry.problems, entry.unread)
        if frame is not None and frame.height:
            entry.pieces[EVENTS] = [Piece(self._state.add(frame), 0, frame.height)]

    def _summarise(self, entries: Sequence[RunEntry]) -> None:
        """Summarise some runs anew, a bounded number of rows at a time."""
        key = "row"  # no metric has this name
        backs: dict[str, Backs] = {}
        for entry in entries:
            entry.void, entry.counter = [], ""
            entry.unread = [
                unread for unread in entry.unread if not unread.reason.endswith(_OVERTAKEN)
            ]
        for portion in _portions(entries):
            frames = {
                number: frame.with_columns(pl.lit(number, pl.UInt32).alias(key))
                for number, entry in portion
                if (frame := store.logged_rows(entry, self._state.segments)) is not None
            }
            for number, entry in portion:
                if not _goes_back(entry, self._state.segments, backs):
                    continue
                if _leave_out_void(entry, frames[number]):
                    rows = store.rows_of(entry, self._state.segments)
                    assert rows is not None
                    frames[number] = rows.with_columns(pl.lit(number, pl.UInt32).alias(key))
                entry.counter = steps.rising_column(_counters(frames[number]))
            summaries = summarise(stack(list(frames.values())), key) if frames else {}
            for number, entry in portion:
                entry.summary = summaries.get(number, {})


def _goes_back(
    entry: RunEntry, segments: Mapping[str, pl.DataFrame], backs: dict[str, Backs]
) -> bool:
    """Tell whether a run's steps may go back somewhere, or stay; `backs` remembers the rows of each
    segment that do."""
    pieces = [piece for pieces in entry.pieces.values() for piece in pieces if piece.rows]
    if len(pieces) != 1:
        return bool(pieces)
    segment, start, height = pieces[0]
    if segment not in backs:
        backs[segment] = _rows_that_go_back(segments[segment])
    # the first row follows another run's
    back, stay = (
        bisect.bisect_left(rows, start + height) - bisect.bisect_right(rows, start)
        for rows in backs[segment]
    )
    return back > 0 or 0 < stay <= steps.FEW_JUMPS or 0 < stay == height - 1


Backs = tuple[list[int], list[int]]
"""Rows at which the steps go back, and at which they stay."""


def _rows_that_go_back(rows: pl.DataFrame) -> Backs:
    step = steps.step_column(rows.columns)
    if step is None or rows.schema[step] != pl.Float64:
        return [], []
    cells = rows.get_column(step)
    if cells.null_count() or cells.is_nan().any():
        cells = cells.fill_nan(None).forward_fill()
    return (cells < cells.shift()).arg_true().to_list(), (
        cells == cells.shift()
    ).arg_true().to_list()


def _counters(rows: pl.DataFrame) -> dict[str, list[float | None]]:
    numbers = [name for name, kind in rows.schema.items() if kind == pl.Float64]
    return {name: rows[name].to_list() for name in steps.step_columns(numbers)}


def _leave_out_void(entry: RunEntry, rows: pl.DataFrame) -> bool:
    """Note which of a run's rows a resume overtook; tells whether there are any."""
    numbers = [name for name, kind in rows.schema.items() if kind == pl.Float64]
    step = steps.step_column(numbers)
    if step is None or entry.has_several_clocks:
        return False
    clocks = [rows[name].to_list() for name in steps.counters(numbers) if name != step]
    texts = [name for name, kind in rows.schema.items() if kind == pl.String]
    keys = [rows[name].to_list() for name in (*texts, *steps.parts(numbers))]
    column = rows[step].to_list()
    again = [i for i in steps.repeats(column, clocks, keys) if _replaces(rows, i)]
    entry.void = steps.void_rows(column, clocks, keys, again)
    log = entry.files.file(entry.files.logs[0])
    for start, stop in entry.void:
        subject = f"row {stop} is" if stop == start + 1 else f"rows {start + 1} to {stop} are"
        entry.unread.append(Unread(log, f"{subject} void, {step} {_OVERTAKEN}"))
    return bool(entry.void)


def _replaces(rows: pl.DataFrame, i: int) -> bool:
    """Tell whether a row has all that the one before has: else both are of one step, as training
    and validation are."""
    pairs = zip(rows.row(i - 1), rows.row(i), strict=True)
    return all(_is_gap(before) or not _is_gap(after) for before, after in pairs)


def _is_gap(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


_OVERTAKEN = "goes back or is repeated after that: a resume overtook it"


def _portions(
    entries: Sequence[RunEntry], rows: int = 2_000_000
) -> Iterator[list[tuple[int, RunEntry]]]:
    portion: list[tuple[int, RunEntry]] = []
    row_count = 0
    for number, entry in enumerate(entries):
        portion.append((number, entry))
        row_count += entry.rows
        if row_count >= rows:
            yield portion
            portion, row_count = [], 0
    if portion:
        yield portion


def _described(
    run: RunFiles, before: RunEntry | None, experiments: dict[Path, str | None], places: RunPaths
) -> tuple[RunEntry, list[str]]:
    """Return the run's entry, with what is still right of what was read of its logs, and the logs
    that were written to.

    A log in another inode is another file: a further attempt's, or one that its logger replaced by
    rename.
    """
    problems: list[Problem] = []
    entry = RunEntry(run, describe(run, problems, experiments, places), problems)
    previous = before if before is not None and before.files.logs == run.logs else None
    if previous is None:
        return entry, list(run.logs)
    unchanged = [log for log in run.logs if previous.files.stamps[log][0] == run.stamps[log][0]]
    entry.cursors = {log: previous.cursors[log] for log in unchanged if log in previous.cursors}
    entry.pieces = {
        log: list(pieces) for log, pieces in previous.pieces.items() if log in (*unchanged, EVENTS)
    }
    entry.unread = list(previous.unread)
    paths = {run.file(log) for log in unchanged}
    entry.problems += [problem for problem in previous.problems if problem.path in paths]
    return entry, [log for log in run.logs if previous.files.stamps[log] != run.stamps[log]]


def _new_texts(owners: Mapping[str, tuple[RunEntry, str]]) -> Iterator[Text]:
    for path, (entry, log) in owners.items():
        text: Text | None = None
        try:
            text = csv_text.read_new(path, entry.cursors.get(log))
        except NotATable as error:
            _forget(entry, log)
            entry.problems.append(Problem(path, str(error)))
            continue
        except OSError as error:
            entry.problems.append(Problem(path, f"cannot be read ({error.strerror})"))
            continue
        if text is None or text.restarted:
            _forget(entry, log)
        if text is not None:
            entry.cursors[log] = text.cursor
            if text.problem:
                entry.problems.append(Problem(path, text.problem))
            yield text


def _forget(entry: RunEntry, log: str) -> None:
    """Forget what was read of a log that is another one now."""
    entry.pieces.pop(log, None)
    entry.cursors.pop(log, None)
    path = entry.files.file(log)
    entry.problems = [problem for problem in entry.problems if problem.path != path]
