"""`runslot plot`: figures for papers, without a browser."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from runslot.cli.parameters import Places, signed, value
from runslot.errors import InvalidInput
from runslot.terminal_text import echo

if TYPE_CHECKING:
    from runslot.results.results import Results
    from runslot.view.data.choices import Choices

_CHOICES = (
    "kind", "by", "mode", "across", "down", "draw", "band", "x", "smooth", "where", "top", "low",
    "high",
    "level", "diverged",
)  # fmt: skip
"""Options that are choices of the page, as they are."""
_OUT = value("-o", "--out", metavar="FILE", help="Figure to write: .pdf, .svg or .png.")


@signed(
    "plot",
    [
        inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Path, _OUT]),
        inspect.Parameter("paths", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Places),
    ],
)
def plot(out: Path, paths: Sequence[Path] | None, **options: Any) -> None:
    """Draw a figure in paper size, and print its caption: who counts, and what is drawn."""
    from runslot.cli.places import places_of
    from runslot.results.confirmation import confirmed
    from runslot.results.read.reader import load
    from runslot.view.data.choices import Choices
    from runslot.view.paper.figure import FORMATS, Paper, paper_figure

    suffix = out.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InvalidInput(
            f"{out}: a figure ends in {', '.join(f'.{format}' for format in FORMATS)}"
        )
    if not out.parent.is_dir():
        raise InvalidInput(f"{out.parent} is not a directory; make it first")
    globs = [text for text in options["log"] or () if set(text) & set("*?[./")]
    choices = Choices.from_query(options["view"]).replaced(_choices(options, globs))
    results = load(places_of(paths), path=options["path"] or choices.path or None, log=globs)
    choices = _aimed(choices, results)
    if choices.seeds != "all":
        results = confirmed(results)
    if not results.metrics and results.problems:
        raise InvalidInput(f"there is nothing to draw; not read: {results.problems[0]}")
    for problem in results.problems:
        echo(f"not read: {problem}", err=True)
    paper = Paper(options["width"], options["height"], options["font"], line=options["line"])
    figure = paper_figure(results, choices, out.stem, suffix, paper=paper)
    for name, content in figure.files.items():
        is_figure = name == f"{out.stem}.{suffix}"
        if options["data"] or is_figure:
            target = out if is_figure else out.with_name(name)
            target.write_bytes(content)
            echo(target)
    echo(figure.caption)


def _aimed(choices: Choices, results: Results) -> Choices:
    """Return the choices with the metric that the runs were searched by, where none was chosen, and
    the way that is better by it."""
    from runslot.results.trials import objective_of
    from runslot.view.data.groups import aimed

    metric, mode = objective_of(results)
    if metric is None or mode is None or metric not in results.metrics:
        return choices
    choices = choices if choices.y else dataclasses.replace(choices, y=(metric,))
    return aimed(choices, (metric, mode), results)


def _choices(options: Mapping[str, Any], globs: Sequence[str]) -> dict[str, Any]:
    """Return the page's choices that the options make."""
    choices = {name: options[name] for name in _CHOICES}
    choices |= {name: tuple(options[name] or ()) for name in ("y", "split", "include")}
    if options["simultaneous"] and options["kind"] != "profile":
        raise InvalidInput("--simultaneous is of the band of a profile: add --kind profile")
    choices["simultaneous"] = "yes" if options["simultaneous"] else ""
    choices["seeds"] = "all" if options["all_seeds"] else ""
    choices["log"] = tuple(axis for axis in options["log"] or () if axis not in globs)
    # Without a key of theirs, what the address of the page says stays.
    return choices | {name: tuple(options[name]) for name in ("series", "tasks") if options[name]}
