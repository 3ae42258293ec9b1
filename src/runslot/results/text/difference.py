"""What differs between two runs: variant, code, environment, how they went; read from their
directories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.rundir import RunDir
from runslot.record import record
from runslot.results.formats.files import read_bytes, read_object
from runslot.results.read.parameters import Value, flatten
from runslot.results.read.reader import load
from runslot.results.results import Results
from runslot.results.summary import FINAL
from runslot.results.text.labels import texts_of
from runslot.results.text.table import show

_PATCH_LINES = 40


@record
class RunDifference:
    """Two runs, and by part (variant, run, code, environment, metrics) the values that are not
    equal."""

    first: str
    second: str
    parts: Mapping[str, Mapping[str, tuple[Value, Value]]]
    """`{part: {key: (first, second)}}`; None where a run lacks the key. A part without a difference
    is empty."""


def difference(
    first_path: str | os.PathLike[str], second_path: str | os.PathLike[str]
) -> RunDifference:
    """Compare two run directories; raises `NotFound` or `InvalidInput` where a path is not exactly
    one run."""
    first, second = _one_run(first_path), _one_run(second_path)
    a, b = first.runs.row(0, named=True), second.runs.row(0, named=True)
    parts = {
        "variant": _unequal(_parameters(first, a), _parameters(second, b)),
        "run": _unequal(
            *({k: str(row[k]) if row[k] is not None else None for k in _RUN} for row in (a, b))
        ),
        "code": _unequal(_code(Path(a["path"])), _code(Path(b["path"]))),
        "environment": _unequal(_environment(Path(a["path"])), _environment(Path(b["path"]))),
        "metrics": _unequal(
            *({m: r.runs[FINAL + m][0] for m in r.metrics} for r in (first, second))
        ),
    }
    return RunDifference(a["path"], b["path"], parts)


_RUN = ("experiment", "variant", "seed", "state", "attempt", "rows", "host", "slot", "kind")


def _one_run(path: str | os.PathLike[str]) -> Results:
    results = load(path, cache=False)
    if results.runs.height != 1:
        raise InvalidInput(
            f"{path} holds {results.runs.height} runs; name the directory of one, as in"
            " lr=0.1/run_0"
        )
    return results


def _parameters(results: Results, row: Mapping[str, Any]) -> dict[str, Value]:
    return {name: row[name] for name in results.parameters}


def _code(directory: Path) -> dict[str, Value]:
    """Return what the run keeps of its code: commit and branch, the patches of what was not
    committed, the script."""
    run = RunDir(directory)
    about = run.about_code()
    texts = {file.name: _text(file) for file in (about.git_infos, about.script_name)}
    patches = {file.name: _text(file) for file in sorted(about.path.glob("*.patch"))}
    staged = {name: text for name, text in patches.items() if name.endswith("_staged.patch")}
    unstaged = {name: text for name, text in patches.items() if name not in staged}
    texts["uncommitted changes"] = "".join(text or "" for text in unstaged.values()) or None
    texts["staged changes"] = "".join(text or "" for text in staged.values()) or None
    work = _object(run.run_file).get("work") or {}
    return {**texts, **flatten(work, prefix="work.")}


def _environment(directory: Path) -> dict[str, Value]:
    return flatten(_object(RunDir(directory).about_code().environment))


def _object(file: Path) -> Mapping[str, Any]:
    """Return a file's JSON object, or why it was not read."""
    try:
        return read_object(file) or {}
    except (RunslotError, OSError) as error:
        return {"not read": str(error)}


def _text(file: Path) -> str | None:
    """Return a text; None where there is no regular file: what a link leads to is not this
    run's."""
    try:
        data = read_bytes(file)
    except (RunslotError, OSError):
        return None
    return None if data is None else data.decode("utf-8", "replace")


def _unequal(
    first: Mapping[str, Value], second: Mapping[str, Value]
) -> dict[str, tuple[Value, Value]]:
    keys = dict.fromkeys((*first, *second))
    pairs = {key: (first.get(key), second.get(key)) for key in keys}
    return {key: (a, b) for key, (a, b) in pairs.items() if a != b and not (a != a and b != b)}  # noqa: PLR0124  # nan equals nan here


def print_difference(differences: RunDifference, console: Console) -> None:
    """Print a difference, a table a part; long texts as what one has and the other has not."""
    terminal = console.is_terminal
    for side, path in (("left", differences.first), ("right", differences.second)):
        show(console, Text(f"{side:<6}{path}"))
    for part, values in differences.parts.items():
        if not values:
            continue
        table = Table(
            part,
            "left",
            "right",
            box=SIMPLE_HEAD if terminal else None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        for column in table.columns:
            column.overflow = "fold"
        for key, (left_value, right_value) in values.items():
            table.add_row(Text(key), _cell(left_value, right_value), _cell(right_value, left_value))
        show(console, table)
    same = [part for part, values in differences.parts.items() if not values]
    if same:
        show(console, Text(f"no difference in: {', '.join(same)}"))


def _cell(value: Value, other: Value) -> Text:
    """Return a value for a cell; of a text of several lines only the lines that the other one does
    not have."""
    if value is None:
        return Text("–")
    text = texts_of([value, other])[value].strip("\n")
    lines = text.splitlines()
    if len(lines) <= 1:
        return Text(text)
    other_lines = set(str(other).splitlines())
    own_lines = [line for line in lines if line not in other_lines]
    more = (
        [f"… {len(own_lines) - _PATCH_LINES} more lines"] if len(own_lines) > _PATCH_LINES else []
    )
    return Text("\n".join([*own_lines[:_PATCH_LINES], *more]) or "(the same lines, and fewer)")
