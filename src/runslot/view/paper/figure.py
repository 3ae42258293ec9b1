"""Figures for papers, drawn by matplotlib from the panels that the page shows; with their data and a script.

Paper figures do not come from the browser: a PDF has its fonts embedded (TrueType, type 42, which LaTeX and
publishers take) and the size that it will have in print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from runslot.errors import InvalidInput, NotInstalled, extra_said
from runslot.results.results import Results
from runslot.view.data.chart import Chart
from runslot.view.data.choices import Choices
from runslot.view.data.curves import Drawing, Panel, draw
from runslot.view.data.groups import choose
from runslot.view.data.kinds import charts
from runslot.view.data.palette import LINES, stroke
from runslot.view.data.rows import Rows
from runslot.view.paper import charts as drawing_charts
from runslot.view.paper import curves as drawing
from runslot.view.plotly.charts import axis_marks

FORMATS = ("pdf", "svg", "png")
_LINES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MOST_COLUMNS = 3


@dataclass(frozen=True)
class Paper:
    """The size of a figure, in inches and points."""

    width: float = 5.5
    """The text width of NeurIPS, ICML (two columns) and LaTeX's article; 3.25 for one of two columns."""
    height: float | None = None
    """Of the whole figure; None: by the number of panels."""
    font: float = 8.0
    dpi: int = 300
    """Of a PNG."""
    line: bool = True
    """Whether the figure says itself who counts, in one small line."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.width <= 40 or (self.height is not None and not 0.5 <= self.height <= 60):
            raise InvalidInput(
                f"a figure of {self.width} × {self.height} inches; widths are 0.5 to 40, heights 0.5 to 60"
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
    """Return the files of an export by name: the figure, its data as CSV, the script that draws it from them.

    `rows` are those of `results`, where they are known already.

    Raises `NotInstalled` without matplotlib, `InvalidInput` where nothing is to be drawn or for an unknown format.
    """
    return paper_figure(results, choices, name, kind, paper=paper, rows=rows).files


@dataclass(frozen=True)
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
    chosen = choose(results, choices)
    if not chosen.runs.height:
        raise InvalidInput("no run passes the filters, so there is nothing to draw")
    if choices.kind == "slots":
        raise InvalidInput("slots are drawn on the page alone; choose another kind of figure")
    paper = paper or Paper()
    table, settings = (
        _curves(chosen, results, choices, paper, rows)
        if choices.kind == "curves"
        else _charts(chosen, results, choices, paper)
    )
    files = {f"{name}.{kind}": draw_paper(table, settings, kind), f"{name}.csv": table.write_csv().encode()}
    files[f"{name}.py"] = _script(name, kind, table, settings).encode()
    return PaperFigure(files, settings["caption"])


def _curves(
    chosen: Results, results: Results, choices: Choices, paper: Paper, rows: Rows | None
) -> tuple[pl.DataFrame, dict[str, Any]]:
    drawn = draw(chosen, rows or Rows.of(results), choices, results)
    if not any(panel.curves for panel in drawn.panels):
        raise InvalidInput(f"there is nothing to draw: no run that counts has both metrics ({drawn.notes[0]})")
    return data_table(drawn, choices.hide), _settings(drawn, choices, paper)


def _charts(chosen: Results, results: Results, choices: Choices, paper: Paper) -> tuple[pl.DataFrame, dict[str, Any]]:
    drawn = charts(chosen, choices, results)
    full = [chart for chart in drawn.charts if chart.data.height]
    if not full:
        raise InvalidInput(f"there is nothing to draw: no run that counts has such a score ({drawn.notes[0]})")
    parts = [
        chart.data.select(pl.lit(i).alias("panel"), pl.lit(chart.split).alias("split"), pl.all())
        for i, chart in enumerate(full)
    ]
    table = pl.concat(parts, how="vertical_relaxed")
    if "dash" in table.columns:
        table = table.with_columns(pl.col("dash").replace_strict(_LINES))
    columns = min(len(full), _MOST_COLUMNS if paper.width > 4 else 1)
    if full[0].mark in {"bars", "points", "parallel", "heat"}:  # which need room for labels
        columns = min(columns, 2 if paper.width > 4 else 1)
    lines = -(-len(full) // columns)
    labels = max((chart.data["label"].n_unique() for chart in full if "label" in chart.data.columns), default=0)
    by_labels = full[0].mark in {"bars", "points"}
    each = 0.5 + 0.19 * labels if by_labels else min(paper.width / columns * 0.62, 3.2)
    named = [label for chart in full if chart.mark in {"profile", "scatter"} for label in chart.data["label"].unique()]
    settings = {
        "size": (paper.width, round(paper.height or lines * each + _below(list(dict.fromkeys(named)), paper), 3)),
        "columns": columns,
        "font": paper.font,
        "dpi": paper.dpi,
        "line": drawn.notes[0] if paper.line else "",
        "caption": caption_of(drawn.notes),
        "panels": [_panel_settings(chart) for chart in full],
    }
    return table, settings


def _panel_settings(chart: Chart) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mark": chart.mark,
        "split": chart.split,
        "across": chart.across,
        "down": chart.down,
        "y": chart.metric,
    }
    own = chart.settings
    if chart.mark in {"bars", "points"}:
        found |= {"log": own["log"], "limits": own["limits"], "line": own.get("mark")}
    elif chart.mark == "scatter":
        found |= {"log": own["log"], "order": list(own["order"]), "worst": own["worst"]}
    elif chart.mark == "heat":
        found |= {"order": list(own["order"]), "order_down": list(own["order_down"])}
    elif chart.mark == "parallel":
        found |= {"axis_marks": [axis_marks(axis) for axis in own["axes"]], "shades": LINES}
    return found


def data_table(drawn: Drawing, hidden: Sequence[str] = ()) -> pl.DataFrame:
    """Return what is drawn, a row a point: of a mean, of a run by itself, or where a run diverged."""
    parts = []
    for number, panel in enumerate(drawn.panels):
        for curve in panel.curves:
            if curve.group not in hidden:
                part = "mean" if curve.run is None else "run"
                points = curve.points.with_columns(pl.col("n").cast(pl.Int64))
                parts.append(_points(points, number, panel, curve.group, curve.index, part, curve.run))
        for mark in panel.marks:
            if mark.label not in hidden:
                point = {"x": [mark.x], "n": [1], "center": [mark.y], "low": [None], "high": [None]}
                types = {"low": pl.Float64, "high": pl.Float64}
                points = pl.DataFrame(point, schema_overrides=types)
                parts.append(_points(points, number, panel, mark.label, mark.index, "diverged", mark.run))
    if not parts:
        raise InvalidInput("every curve is hidden, so there is nothing to draw")
    return pl.concat(parts)


def _points(
    points: pl.DataFrame, number: int, panel: Panel, label: str, index: int, part: str, run: str | None
) -> pl.DataFrame:
    line = stroke(index)
    return points.select(
        pl.lit(number).alias("panel"),
        pl.lit(panel.split).alias("split"),
        pl.lit(panel.y).alias("y"),
        pl.lit(label).alias("series"),
        pl.lit(line.colour).alias("colour"),
        pl.lit(_LINES[line.dash]).alias("dash"),
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
    widest = max(map(len, labels), default=1)
    fitting = max(1, int(paper.width * 72 / (paper.font * (0.55 * widest + 4))))
    rows = -(-len(labels) // fitting) if len(labels) > 1 else 0
    return 0.35 + (0.3 if paper.line else 0.0) + max(0, rows - 1) * 1.5 * paper.font / 72


def _settings(drawn: Drawing, choices: Choices, paper: Paper) -> dict[str, Any]:
    """Return what the drawing needs besides the data; plain values, so that the script can state them."""
    count = len(drawn.panels)
    columns = min(count, _MOST_COLUMNS if paper.width > 4 else 1)
    lines = -(-count // columns)
    labels = [found.label for found in drawn.groups if found.label not in choices.hide]
    height = paper.height or lines * min(paper.width / columns * 0.72, 3.2) + _below(labels, paper)
    return {
        "size": (paper.width, round(height, 3)),
        "columns": columns,
        "font": paper.font,
        "dpi": paper.dpi,
        "x": drawn.panels[0].x,
        "log": tuple(choices.log),
        "limits": (choices.low, choices.high),
        "line": drawn.notes[0] if paper.line else "",
        "caption": caption_of(drawn.notes),
    }


def draw_paper(table: pl.DataFrame, settings: dict[str, Any], kind: str) -> bytes:
    """Draw the data; returns the file. Raises `NotInstalled` without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NotInstalled(f"figures are drawn by matplotlib: {extra_said('plot')}") from error
    points: dict[str, list[Any]] = {name: table[name].to_list() for name in table.columns}
    with matplotlib.rc_context(drawing.STYLE):  # type: ignore[arg-type]  # its names are literals there
        drawer = drawing_charts.draw_charts if "panels" in settings else drawing.draw
        figure = drawer(Figure, points, settings)
        buffer = io.BytesIO()
        # A fixed date gives equal files for equal data.
        dated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}[kind]
        dated |= _described(kind, settings)
        figure.savefig(buffer, format=kind, dpi=settings["dpi"], metadata=dated)
    return buffer.getvalue()


def _described(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the file itself says of the figure."""
    return {"Subject" if kind == "pdf" else "Description": settings["caption"]}


def _script(name: str, kind: str, table: pl.DataFrame, settings: dict[str, Any]) -> str:
    """Return a script that reads the data and draws them; it says everything itself."""
    modules = (drawing, drawing_charts) if "panels" in settings else (drawing,)
    texts = [
        Path(str(module.__file__)).read_text(encoding="utf-8").partition("# --- shared ---\n")[2] for module in modules
    ]
    imports = re.compile(r"^(import textwrap|from typing import Any)\n", re.MULTILINE)
    shared = "\n\n".join(imports.sub("", text).strip("\n") for text in texts)
    kinds = {column: _READ[kind] for column, kind in _kinds(table).items() if kind in _READ}
    return (
        _HEAD.format(name=name, kind=kind)
        + shared
        + _TAIL.format(
            name=name,
            kind=kind,
            settings=",\n    ".join(f"{key!r}: {value!r}" for key, value in settings.items()),
            readers=", ".join(f"{column!r}: {reader}" for column, reader in kinds.items()),
            draw="draw_charts" if len(modules) > 1 else "draw",
            metadata=repr(dict.fromkeys(_described(kind, settings), "…")).replace("'…'", 'SETTINGS["caption"]'),
        )
    )


def _kinds(table: pl.DataFrame) -> dict[str, str]:
    def kind(dtype: pl.DataType) -> str:
        if dtype == pl.Boolean:
            return "logical"
        return "whole" if dtype.is_integer() else "number" if dtype.is_numeric() else "text"

    return {name: kind(dtype) for name, dtype in table.schema.items()}


_READ = {"whole": "int", "number": "float", "logical": '"true".__eq__'}

_HEAD = '''"""Draws {name}.{kind} from {name}.csv; needs matplotlib. Written by runslot."""

import csv
import textwrap
from typing import Any

'''
_TAIL = """

SETTINGS = {{
    {settings},
}}
READERS = {{{readers}}}

if __name__ == "__main__":
    import matplotlib
    from matplotlib.figure import Figure

    with open("{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    points = {{key: [row[key] for row in rows] for key in rows[0]}}
    for key, read in READERS.items():
        points[key] = [read(value) if value else None for value in points[key]]
    with matplotlib.rc_context(STYLE):
        figure = {draw}(Figure, points, SETTINGS)
        figure.savefig("{name}.{kind}", dpi=SETTINGS["dpi"], metadata={metadata})
"""
