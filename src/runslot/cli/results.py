"""`runslot results`: what came out of experiments, as a table.

`runslot export`: what came out of experiments, as files for other tools.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from runslot.cli.parameters import (
    Conditions,
    Include,
    Logs,
    PathTemplate,
    argument,
    flag,
    option,
    value,
)
from runslot.errors import InvalidInput
from runslot.terminal_text import echo

if TYPE_CHECKING:
    from runslot.results.comparison import Spread
    from runslot.results.export import FileFormat
    from runslot.results.results import Results
    from runslot.results.summary import Mode


PLACES = (
    "Experiments, collections, runs, or directories that hold some, or names below the root; else"
    " the newest experiment"
)
Paths = Annotated[
    list[Path] | None,
    argument(
        metavar="DIR",
        help=f"{PLACES}. `diff RUN RUN` shows what differs between two runs, `compare A B` decides"
        " between two variants or experiments.",
    ),
]


Band = Annotated[
    str,
    value(metavar="BAND", help="What stands after ±: mean-ci, mean-std or mean-sem."),
]

Limit = Annotated[int | None, value(metavar="N", least=1, help="Show so many variants.")]

Csv = Annotated[str | None, value(metavar="FILE", help="Write the table as CSV; - is the output.")]

Parquet = Annotated[Path | None, value(metavar="FILE", help="Write the table as Parquet.")]

System = Annotated[
    bool,
    flag("--system", help="Show what each run used of cores, memory and GPUs instead."),
]


def results(
    paths: Paths = None,
    metric: Annotated[str | None, option("metric", "results")] = None,
    mode: Annotated[str | None, option("mode", "results")] = None,
    vs: Annotated[str | None, option("vs", "results")] = None,
    at: Annotated[str | None, option("at", "results")] = None,
    effects: Annotated[bool, option("effects", "results")] = False,
    gap: Annotated[float | None, option("gap", "results")] = None,
    all_seeds: Annotated[bool, option("all_seeds", "results")] = False,
    where: Conditions = None,
    include: Include = None,
    diverged: Annotated[str, option("diverged", "results")] = "nan",
    band: Band = "mean-ci",
    level: Annotated[float, option("level", "results")] = 0.95,
    limit: Limit = None,
    json: Annotated[bool, option("json", "results")] = False,
    latex: Annotated[bool, option("latex", "results")] = False,
    checklist: Annotated[bool, option("checklist", "results")] = False,
    csv: Csv = None,
    parquet: Parquet = None,
    system: System = False,
    path: PathTemplate = None,
    log: Logs = None,
) -> None:
    """Compare variants: mean ± 95 % interval of final and best values over seeds, best first."""
    from runslot.cli.verdicts import Output, Question, answer

    words = [str(word) for word in paths or ()]
    if words[:1] == ["diff"] and not Path("diff").exists():
        _print_difference([Path(word) for word in words[1:]], json)
        return
    runs = (tuple(where or ()), path, tuple(log or ()))
    states = tuple(include or ())
    way, spread = _way_of(mode), _spread_of(band)
    question = Question(metric, way, states, diverged, spread, level, at, *runs, all_seeds)
    output = Output(json, latex, checklist, effects, gap, limit, csv, parquet)
    if system:
        if vs is not None or latex or checklist or effects or gap is not None:
            raise InvalidInput("--system is an output of its own, with --json or --csv; keep one")
        _print_system(question.read(paths), json, csv, parquet)
        return
    answer(words, vs, question, output)


def _way_of(mode: str | None) -> Mode | None:
    if mode not in {None, "max", "min"}:
        raise InvalidInput(f"--mode {mode} is neither max nor min")
    return "max" if mode == "max" else "min" if mode == "min" else None


def _spread_of(band: str) -> Spread:
    from runslot.results.comparison import Spread

    if band not in get_args(Spread):
        raise InvalidInput(f"--band {band} is none of {', '.join(get_args(Spread))}")
    return band  # type: ignore[return-value]  # one of its words, as just checked


def _print_system(runs: Results, json: bool, csv: str | None, parquet: Path | None) -> None:
    from runslot.cli.render.console import console
    from runslot.results.export import write_frame
    from runslot.results.text.system import print_system, system_document, system_frame

    if json and csv == "-":
        raise InvalidInput("--json and --csv - are one output each; keep one")
    if csv == "-":
        sys.stdout.write(system_frame(runs).write_csv())
        return
    if json:
        from json import dumps

        echo(dumps(system_document(runs), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print_system(runs, console())
    if csv is not None:
        write_frame(system_frame(runs), Path(csv), "csv")
        echo(f"wrote {csv}", err=True)
    if parquet is not None:
        write_frame(system_frame(runs), parquet, "parquet")
        echo(f"wrote {parquet}", err=True)


def _print_difference(names: list[Path], as_json: bool) -> None:
    from runslot.cli.render.console import console
    from runslot.results.text.difference import difference, print_difference

    if len(names) != 2:
        raise InvalidInput(
            f"diff compares two runs, {len(names)} were named: runslot results diff RUN RUN"
        )
    first, second = (_directory_of(name) for name in names)
    differences = difference(first, second)
    if not as_json:
        print_difference(differences, console())
        return
    from json import dumps

    from runslot.results.document import finite_json

    parts = {
        part: {key: list(pair) for key, pair in values.items()}
        for part, values in differences.parts.items()
    }
    both = {"left": differences.first, "right": differences.second, "parts": parts}
    echo(dumps(finite_json(both), ensure_ascii=False, indent=2, allow_nan=False))


def _directory_of(name: Path) -> Path:
    """Return the directory of a run that is named by its path, or as `logs` and `stop` take it: by
    name or id.
    """
    from runslot.cli.places import find_run

    return name if name.is_dir() else Path(find_run(str(name)).run_dir.path)


# ---- export --------------------------------------------------------------------------------------


def export(
    paths: Annotated[list[Path] | None, argument(metavar="DIR", help=PLACES + ".")] = None,
    csv: Annotated[bool, flag("--csv", help="Write CSV.")] = False,
    parquet: Annotated[bool, flag("--parquet", help="Write Parquet.")] = False,
    out: Annotated[
        Path | None,
        value("-o", "--out", metavar="DIR", help="Directory for the files; else NAME-export here."),
    ] = None,
    metric: Annotated[str | None, option("metric", "export")] = None,
    where: Conditions = None,
    include: Include = None,
    all_seeds: Annotated[bool, option("all_seeds", "export")] = False,
    long: Annotated[
        bool, flag("--long", help="Progress with a row a number, not a column a metric.")
    ] = False,
    path: PathTemplate = None,
    log: Logs = None,
) -> None:
    """Write all runs (`runs`) and all their rows (`progress`) to files for other tools."""
    from runslot.cli.places import places_of
    from runslot.results.comparison import compare
    from runslot.results.confirmation import confirmed
    from runslot.results.export import CHOSE
    from runslot.results.export import export as write
    from runslot.results.read.reader import load
    from runslot.results.text.sources import sources_line, unread_line
    from runslot.results.trials import objective_of

    if not (csv or parquet):
        raise InvalidInput("nothing says what to write: add --csv, --parquet, or both")
    read = load(places_of(paths), path=path, log=log or ()).where(*(where or ()))
    counted = read if all_seeds else confirmed(read)
    goal = objective_of(counted)[0]
    if metric is None and goal in counted.metrics:  # as the table takes it
        metric = goal
    accounting = compare(counted, metric, include=include or ()).accounting
    directory = out or Path(f"{Path(read.base).name}-export")
    for problem in read.problems:
        echo(f"not read: {problem}", err=True)
    for line in (sources_line(read), unread_line(read)):
        if line:
            echo(line, err=True)
    for kind in ("csv", "parquet"):
        if csv if kind == "csv" else parquet:
            form: FileFormat = "csv" if kind == "csv" else "parquet"
            for file in write(read, directory, form, long=long, accounting=accounting):
                echo(file)
    by = f"by {accounting.metric}: " if accounting.metric else ""
    echo(f"{by}{accounting.line()} (column standing)", err=True)
    if counted.confirmation:
        echo(f"{counted.confirmation} They stand as {CHOSE}.", err=True)
