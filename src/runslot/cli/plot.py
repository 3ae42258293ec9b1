"""`runslot plot`: figures for papers, without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runslot.cli.parameters import Diverged, Include, Level, PathTemplate, Places, option
from runslot.errors import InvalidInput


def plot(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Figure to write: .pdf, .svg or .png.")],
    paths: Places = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="curves, bars (scores), profile, improvement, importance, scatter, parallel or heat, as on the page.",
        ),
    ] = "curves",
    y: Annotated[
        list[str] | None, typer.Option(metavar="METRIC", help="Metrics, a panel each; else the likeliest objective.")
    ] = None,
    x: Annotated[
        str, typer.Option(metavar="METRIC", help="Metric along the x axis, or `row`; else what counts the steps.")
    ] = "",
    series: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="A curve for each value of these keys.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="A panel for each value of these keys.")
    ] = None,
    band: Annotated[
        str,
        typer.Option(
            metavar="BAND",
            help="Over seeds: mean-ci, mean-std, mean-sem, median-quartiles, iqm, or runs (each by itself); auto is "
            "mean-ci, and the runs where a group has fewer than five.",
        ),
    ] = "auto",
    level: Level = 0.95,
    include: Include = None,
    diverged: Diverged = "nan",
    smooth: Annotated[int, typer.Option(metavar="N", min=1, help="Running mean over so many rows.")] = 1,
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS|GLOB", help="Logarithmic axes: x, y; or read these files as logs, too: 'log_*.csv'."
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="SCORE", help="Runs are judged by: final, best, mean, last-K, auc (all kinds but curves; --top)."
        ),
    ] = "final",
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="Which way is better: max or min; else by the metric's name.")
    ] = "",
    tasks: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Keys that are tasks: runs are compared and resampled within each."),
    ] = None,
    across: Annotated[str, typer.Option(metavar="KEY", help="Key along the x axis of a scatter or heat map.")] = "",
    down: Annotated[str, typer.Option(metavar="KEY", help="Key along the y axis of a heat map.")] = "",
    draw: Annotated[
        str, typer.Option(metavar="HOW", help="Scores as bars (from zero) or points; else what shows more.")
    ] = "",
    where: Annotated[str, option("where", "plot")] = "",
    top: Annotated[int, typer.Option(metavar="N", min=0, help="Only so many series of each panel, the best ones.")] = 0,
    low: Annotated[float | None, typer.Option(metavar="Y", help="Lower end of the y axis.")] = None,
    high: Annotated[float | None, typer.Option(metavar="Y", help="Upper end of the y axis.")] = None,
    view: Annotated[
        str, typer.Option(metavar="CHOICES", help="Choices as in the address of the page (what follows `?`).")
    ] = "",
    width: Annotated[float, typer.Option(metavar="INCHES", help="Width in inches.")] = 5.5,
    height: Annotated[
        float | None, typer.Option(metavar="INCHES", help="Height in inches; else by the panels.")
    ] = None,
    font: Annotated[float, typer.Option(metavar="POINTS", help="Size of the text in points.")] = 8.0,
    line: Annotated[
        bool, typer.Option("--line/--no-line", help="Say in the figure, too, who counts; the caption always does.")
    ] = True,
    data: Annotated[
        bool, typer.Option("--data", help="Also write the data (CSV) and the script that draws it.")
    ] = False,
    path: PathTemplate = None,
) -> None:
    """Draw a figure in paper size, and print its caption: who counts, and what is drawn."""
    from runslot.cli.places import places_of
    from runslot.results import load
    from runslot.view.data.choices import Choices
    from runslot.view.paper.figure import FORMATS, Paper, paper_figure

    suffix = out.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InvalidInput(f"{out}: a figure ends in {', '.join(f'.{each}' for each in FORMATS)}")
    if not out.parent.is_dir():
        raise InvalidInput(f"{out.parent} is not a directory; make it first")
    globs = [value for value in log or () if set(value) & set("*?[./")]
    given: dict[str, object] = {"kind": kind, "by": by, "mode": mode, "across": across, "down": down, "draw": draw}
    given |= {"band": band, "x": x, "smooth": smooth, "where": where, "top": top, "low": low, "high": high}
    given |= {
        "y": tuple(y or ()),
        "split": tuple(split or ()),
        "log": tuple(value for value in log or () if value not in globs),
    }
    given |= {"series": tuple(series)} if series else {}
    given |= {"tasks": tuple(tasks)} if tasks else {}
    given |= {"level": level, "include": tuple(include or ()), "diverged": diverged}
    choices = Choices.from_query(view).replaced(given)
    read = load(places_of(paths), path=path or choices.path or None, log=globs)
    if not read.metrics and read.problems:
        raise InvalidInput(f"there is nothing to draw; not read: {read.problems[0]}")
    for problem in read.problems:
        typer.echo(f"not read: {problem}", err=True)
    figure = paper_figure(read, choices, out.stem, suffix, paper=Paper(width, height, font, line=line))
    for name, content in figure.files.items():
        if data or name == f"{out.stem}.{suffix}":
            target = out if name == f"{out.stem}.{suffix}" else out.with_name(name)
            target.write_bytes(content)
            typer.echo(target)
    typer.echo(figure.caption)
