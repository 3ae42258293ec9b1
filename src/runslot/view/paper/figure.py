"""Figures for papers, drawn by matplotlib from the panels that the page shows; with their data and
a script.

Paper figures do not come from the browser: a PDF has its fonts embedded (TrueType, type 42, which
LaTeX and publishers take) and the size that it will have in print.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.confirmation import confirmed
from runslot.results.results import Results
from runslot.terminal_text import visible
from runslot.view.data.alignment import Rows
from runslot.view.data.brush import axis_marks
from runslot.view.data.chart import Chart
from runslot.view.data.choices import Choices
from runslot.view.data.curves import Drawing, draw
from runslot.view.data.groups import choose
from runslot.view.data.kinds import charts
from runslot.view.data.marks import LINES, stroke
from runslot.view.data.panel import Panel
from runslot.view.paper import axes
from runslot.view.paper.fonts import families_for, matplotlib_library, refuse_boxes
from runslot.view.paper.script import script_for

FORMATS = ("pdf", "svg", "png")
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
"""By Plotly's word for it: matplotlib's."""
_PICTURES = re.compile("[\u2400-\u2421\ufffd]")
_MOST_PANELS_BESIDE = 3
_NARROW_INCHES = 4
"""A figure of one of two columns, which has one panel beside another nowhere."""
_PANEL_INCHES = 3.2
"""The most that a panel is high."""
_CURVES_RATIO, _CHARTS_RATIO = 0.72, 0.62
"""A panel's height as a part of its width."""


@record
class Paper:
    """The size of a figure, in inches and points."""

    width: float = 5.5
    """The text width of NeurIPS, ICML (two columns) and LaTeX's article; 3.25 for one of two
    columns."""
    height: float | None = None
    """Of the whole figure; None: by the number of panels."""
    font: float = 8.0
    dpi: int = 300
    """Of a PNG."""
    line: bool = True
    """Whether the figure says itself who counts, in one small line."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.width <= 40 or (
            self.height is not None and not 0.5 <= self.height <= 60
        ):
            raise InvalidInput(
                f"a figure of {self.width} × {self.height} inches; widths are 0.5 to 40, heights"
                " 0.5 to 60"
            )


def paper_files(
    results: Results,
    choices: Choices,
    name: str,
    kind: str,
    *,
    paper: Paper | None = None,
    rows: Rows | None = None,
) -> Mapping[str, bytes]:
    """Return the files of an export by name: the figure, its data as CSV, the script that draws it
    from them.

    `rows` are those of `results`, where they are known already.

    Raises `NotInstalled` without matplotlib, `InvalidInput` where nothing is to be drawn or for an
    unknown format.
    """
    return paper_figure(results, choices, name, kind, paper=paper, rows=rows).files


@record
class PaperFigure:
    """A figure with its data and its script, and what is to be written under it."""

    files: Mapping[str, bytes]
    caption: str


def paper_figure(
    results: Results,
    choices: Choices,
    name: str,
    kind: str,
    *,
    paper: Paper | None = None,
    rows: Rows | None = None,
) -> PaperFigure:
    """Return what `paper_files` returns, and the caption."""
    if kind not in FORMATS:
        raise InvalidInput(f"{kind!r} is no format of figures; choose among {', '.join(FORMATS)}")
    rows = rows or (Rows.of(results) if choices.kind == "curves" else None)
    results = results if choices.seeds == "all" else confirmed(results)
    selection = choose(results, choices)
    if not selection.runs.height:
        raise InvalidInput("no run passes the filters, so there is nothing to draw")
    if choices.kind == "slots":
        raise InvalidInput("slots are drawn on the page alone; choose another kind of figure")
    paper = paper or Paper()
    table, settings = (
        _curves(selection, results, choices, paper, rows)
        if choices.kind == "curves"
        else _charts(selection, results, choices, paper)
    )
    table, settings = _readable_table(table), _readable(settings)
    columns = [series for series in table if series.dtype == pl.String]
    texts = [str(settings), *(text for column in columns for text in column.unique() if text)]
    settings["families"] = families_for(texts, axes.STYLE)
    files = {
        f"{name}.{kind}": draw_paper(table, settings, kind),
        f"{name}.csv": table.write_csv().encode(),
    }
    files[f"{name}.py"] = script_for(name, kind, table, settings, _caption_key(kind)).encode()
    return PaperFigure(files, settings["caption"])


def _readable(value: Any) -> Any:
    """Return settings whose texts have no control characters: XML can hold none, and others' names
    may."""
    if isinstance(value, str):
        return _readable_text(value)
    if isinstance(value, dict):
        return {_readable(key): _readable(item) for key, item in value.items()}
    return type(value)(map(_readable, value)) if isinstance(value, (list, tuple)) else value


def _readable_text(text: str) -> str:
    return _PICTURES.sub("?", visible(text))  # fonts have no pictures of control characters


def _readable_table(table: pl.DataFrame) -> pl.DataFrame:
    """Return the data with its texts as the settings have them."""
    for name, kind in table.schema.items():
        texts = table[name].drop_nulls().unique().to_list() if kind == pl.String else []
        replacements = {
            text: _readable_text(text) for text in texts if _readable_text(text) != text
        }
        table = table.with_columns(pl.col(name).replace(replacements)) if replacements else table
    return table


def _curves(
    selection: Results, results: Results, choices: Choices, paper: Paper, rows: Rows | None
) -> tuple[pl.DataFrame, dict[str, Any]]:
    drawing = draw(selection, rows or Rows.of(results), choices, results)
    if not any(panel.curves for panel in drawing.panels):
        raise InvalidInput(
            f"there is nothing to draw: no run that counts has both metrics ({drawing.notes[0]})"
        )
    columns = _columns_for(len(drawing.panels), paper, most=_MOST_PANELS_BESIDE)
    labels = [group.label for group in drawing.groups if group.label not in choices.hide]
    panels = [_curves_settings(panel, choices) for panel in drawing.panels]
    height = -(-len(panels) // columns) * min(paper.width / columns * _CURVES_RATIO, _PANEL_INCHES)
    table = data_table(drawing, choices.hide)
    panels = panels[
        : 1 + max(table["panel"])
    ]  # behind the last one there is nothing but hidden curves
    notes = _with_confirmation(drawing.notes, selection)
    return table, _settings(panels, columns, height, labels, notes, paper)


def _with_confirmation(notes: Sequence[str], selection: Results) -> list[str]:
    """Return what a caption says, and after who counts which runs chose the variants."""
    return [*notes[:1], *filter(None, [selection.confirmation.rstrip(".")]), *notes[1:]]


def _charts(
    selection: Results, results: Results, choices: Choices, paper: Paper
) -> tuple[pl.DataFrame, dict[str, Any]]:
    view = charts(selection, choices, results)
    full = [chart for chart in view.charts if chart.data.height]
    if not full:
        raise InvalidInput(
            f"there is nothing to draw: no run that counts has such a score ({view.notes[0]})"
        )
    parts = [
        chart.data.select(pl.lit(i).alias("panel"), pl.lit(chart.split).alias("split"), pl.all())
        for i, chart in enumerate(full)
    ]
    table = pl.concat(parts, how="vertical_relaxed")
    if "dash" in table.columns:
        table = table.with_columns(pl.col("dash").replace_strict(_DASHES))
    needs_room = full[0].mark in {"bars", "points", "parallel", "heat"}  # for labels
    columns = _columns_for(len(full), paper, most=2 if needs_room else _MOST_PANELS_BESIDE)
    bars = max(
        (chart.data["label"].n_unique() for chart in full if "label" in chart.data.columns),
        default=0,
    )
    by_labels = full[0].mark in {"bars", "points"}
    line = (
        0.5 + 0.19 * bars
        if by_labels
        else min(paper.width / columns * _CHARTS_RATIO, _PANEL_INCHES)
    )
    height = -(-len(full) // columns) * line
    in_legend = [
        chart.data["label"].unique() for chart in full if chart.mark in {"profile", "scatter"}
    ]
    labels = list(dict.fromkeys(label for column in in_legend for label in column))
    return table, _settings(
        list(map(_chart_settings, full)),
        columns,
        height,
        labels,
        _with_confirmation(view.notes, selection),
        paper,
    )


def _columns_for(panels: int, paper: Paper, most: int) -> int:
    return min(panels, most if paper.width > _NARROW_INCHES else 1)


def _settings(
    panels: Sequence[Mapping[str, Any]],
    columns: int,
    height: float,
    labels: Sequence[str],
    notes: Sequence[str],
    paper: Paper,
) -> dict[str, Any]:
    """Return what the drawing needs besides the data; plain values, so that the script can state
    them.

    `height` is that of all panels, `labels` are what the legend names.
    """
    return {
        "size": (paper.width, round(paper.height or height + _below(labels, paper), 3)),
        "columns": columns,
        "font": paper.font,
        "dpi": paper.dpi,
        "line": notes[0] if paper.line else "",
        "caption": caption_of(notes),
        "panels": list(panels),
    }


def _curves_settings(panel: Panel, choices: Choices) -> dict[str, Any]:
    return {
        "mark": "curves",
        "split": panel.split,
        "across": panel.x,
        "down": panel.y,
        "log": tuple(choices.log),
        "limits": (choices.low, choices.high),
    }


def _chart_settings(chart: Chart) -> dict[str, Any]:
    titles = {
        "mark": chart.mark,
        "split": chart.split,
        "across": chart.across,
        "down": chart.down,
        "y": chart.metric,
    }
    settings = chart.settings
    if chart.mark in {"bars", "points"}:
        return titles | {
            "log": settings["log"],
            "limits": settings["limits"],
            "line_at": settings.get("mark"),
        }
    if chart.mark == "scatter":
        return titles | {
            "log": settings["log"],
            "order": list(settings["order"]),
            "worst": settings["worst"],
        }
    if chart.mark == "heat":
        scaled = f"{chart.metric}, scaled" if settings["scaled"] else chart.metric
        return titles | {
            "y": scaled,
            "order": list(settings["order"]),
            "order_down": list(settings["order_down"]),
        }
    if chart.mark == "parallel":
        return titles | {
            "axis_marks": [axis_marks(axis) for axis in settings["axes"]],
            "shades": LINES,
        }
    return titles


def data_table(drawing: Drawing, hidden: Sequence[str] = ()) -> pl.DataFrame:
    """Return what is drawn, a row a point: of a mean, of a run by itself, or where a run
    diverged."""
    parts = []
    for number, panel in enumerate(drawing.panels):
        for curve in panel.curves:
            if curve.group not in hidden:
                part = "mean" if curve.run is None else "run"
                points = curve.points.with_columns(pl.col("n").cast(pl.Int64))
                parts.append(
                    _points(points, number, panel, curve.group, curve.index, part, curve.run)
                )
        for mark in panel.marks:
            if mark.label not in hidden:
                point = {"x": [mark.x], "n": [1], "center": [mark.y], "low": [None], "high": [None]}
                types = {"low": pl.Float64, "high": pl.Float64}
                points = pl.DataFrame(point, schema_overrides=types)
                parts.append(
                    _points(points, number, panel, mark.label, mark.index, "diverged", mark.run)
                )
    if not parts:
        raise InvalidInput("every curve is hidden, so there is nothing to draw")
    return pl.concat(parts)


def _points(
    points: pl.DataFrame,
    number: int,
    panel: Panel,
    label: str,
    index: int,
    part: str,
    run: str | None,
) -> pl.DataFrame:
    line = stroke(index)
    return points.select(
        pl.lit(number).alias("panel"),
        pl.lit(panel.split).alias("split"),
        pl.lit(panel.y).alias("y"),
        pl.lit(label).alias("series"),
        pl.lit(line.colour).alias("colour"),
        pl.lit(_DASHES[line.dash]).alias("dash"),
        "x",
        "n",
        "center",
        "low",
        "high",
        pl.lit(part).alias("part"),
        pl.lit(run or "").alias("run"),
    )


def caption_of(notes: Sequence[str]) -> str:
    """Return what is to be written under a figure."""
    return "; ".join(notes)


def _below(labels: Sequence[str], paper: Paper) -> float:
    """Return the inches that legend and accounting line take, so that the axes keep theirs."""
    widest = max(map(axes.letters_of, labels), default=1)
    fitting = max(1, int(paper.width * 72 / (paper.font * (0.55 * widest + 4))))
    rows = -(-len(labels) // fitting) if len(labels) > 1 else 0
    return 0.35 + (0.3 if paper.line else 0.0) + max(0, rows - 1) * 1.5 * paper.font / 72


def draw_paper(table: pl.DataFrame, settings: dict[str, Any], kind: str) -> bytes:
    """Draw the data; returns the file. Raises `NotInstalled` without matplotlib."""
    matplotlib = matplotlib_library()
    from matplotlib.figure import Figure

    points: dict[str, list[Any]] = {name: table[name].to_list() for name in table.columns}
    style: dict[Any, Any] = {**axes.STYLE, "font.family": settings["families"]}
    with matplotlib.rc_context(style), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter(
            "ignore", RuntimeWarning
        )  # ticks of a logarithmic axis beyond all floats
        figure = axes.draw(Figure, points, settings)
        buffer = io.BytesIO()
        # A fixed date gives equal files for equal data.
        metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[kind]
        metadata |= {_caption_key(kind): settings["caption"]}
        figure.savefig(buffer, format=kind, dpi=settings["dpi"], metadata=metadata)
    refuse_boxes(_boxes([str(warning.message) for warning in warned]))
    return buffer.getvalue()


def _boxes(warned: Sequence[str]) -> str:
    """Return the characters that were drawn as boxes."""
    codes = [match for words in warned for match in re.findall(r"^Glyph (\d+) .*missing", words)]
    return "".join(dict.fromkeys(chr(int(code)) for code in codes))


def _caption_key(kind: str) -> str:
    """Return under which key a file of that format holds what it says of itself."""
    return "Subject" if kind == "pdf" else "Description"
