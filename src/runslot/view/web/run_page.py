"""One run's page: how it went, its curves, its share of the machine and what it used of it.

`RunContent` is what changes while the run goes on, so that only that is sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import polars as pl
from dash import dcc, html
from plotly.utils import PlotlyJSONEncoder

from runslot.errors import NotFound
from runslot.experiment.rundir import LEASE, RunDir
from runslot.experiment.states import UNDER_WAY, UNKNOWN, colour_of
from runslot.record import record
from runslot.results.results import Results
from runslot.results.summary import FINAL
from runslot.results.text.labels import text_of_value
from runslot.view.data.alignment import decimate
from runslot.view.data.choices import ROW
from runslot.view.data.groups import default_x, default_y
from runslot.view.data.panel import Curve, Panel
from runslot.view.plotly.curves import curves_figure
from runslot.view.plotly.figure import CONFIG, Figure, with_mark
from runslot.view.web.controls import attributes
from runslot.view.web.live_runs import Memory, Moment
from runslot.view.web.texts import Texts, console_text
from runslot.view.web.usage import usage_figures, usage_words

_PATCH_BYTES = 200_000
_MOST_CURVES = 12
_CONSOLE_LINES = 400


def parameter_of(query: str, name: str = "run") -> str:
    """Return the run that an address names; empty where it names none."""
    return dict(parse_qsl(query.removeprefix("?"))).get(name, "")


def row_of(results: Results, run: str) -> dict[str, Any]:
    """Return the row of a run; `NotFound` where there is none of that name."""
    rows = results.runs.filter(pl.col("run") == run)
    if not rows.height:
        raise NotFound(f"there is no run {run!r} below {results.base}")
    return rows.row(0, named=True)


def run_page(
    results: Results, run: str, texts: Texts, moving: tuple[Any, Any, Any], version: int
) -> list[Any]:
    """Return the content of a run's page; `moving` are heading, panels and cards, which change
    while it goes on."""
    row = row_of(results, run)
    directory = texts.directory(row["path"])
    heading, panels, cards = moving
    parts = [
        html.Nav(
            html.A("← All runs", href="/", className="rs-export"), style={"marginBottom": "0.8rem"}
        ),
        html.Div(heading, id="run-heading"),
        html.Div(panels, id="run-panels", className="rs-panels"),
        html.Div(cards, id="run-cards", className="rs-cards"),
        _console(row, directory, texts),
        *_code(directory, texts),
        dcc.Store(id="run", data=row["run"]),
        dcc.Store(id="run-seen", data=version),
        dcc.Store(id="run-grown"),
        dcc.Store(id="run-grown-done"),
        dcc.Store(id="run-noted"),
        dcc.Store(id="run-tick", data=0),
    ]
    return [part for part in parts if part is not None]


def run_cards(results: Results, row: Mapping[str, Any], directory: Path, texts: Texts) -> list[Any]:
    """Return the framed parts that say what a run is and how it went."""
    cards = [
        card(
            "Variant", pairs({key: row[key] for key in results.parameters if row[key] is not None})
        ),
        card("Outcome", pairs(_outcome(row, directory, texts))),
        card(
            "Final values",
            pairs({m: row[FINAL + m] for m in results.metrics if row[FINAL + m] is not None}),
        ),
        _affinity(directory, texts),
        card("Used", pairs(usage_words(directory, texts))),
        _snapshots(directory),
    ]
    return [section for section in cards if section is not None]


def run_heading(row: Mapping[str, Any]) -> list[Any]:
    """Return a run's name, state and place."""
    return [
        html.H1(
            row["run"],
            style={"fontSize": "1.2rem", "margin": "0 0 0.3rem", "overflowWrap": "anywhere"},
        ),
        html.Div(
            [
                badge(row["state"]),
                html.Span(row["path"], className="rs-n", style={"fontSize": "0.8rem"}),
            ],
            style={"display": "flex", "gap": "1rem", "flexWrap": "wrap", "marginBottom": "0.8rem"},
        ),
    ]


def badge(state: str | None) -> Any:
    """Return a state with its colour."""
    return html.Span(
        [html.Span(className="rs-dot", style={"background": colour_of(state)}), state or UNKNOWN],
        className=f"rs-badge rs-{state}",
    )


def card(title: str, content: Any) -> Any:
    """Return a framed part of the page; None without content."""
    return None if content is None else html.Section([html.H2(title), content], className="rs-card")


def pairs(values: Mapping[str, Any]) -> Any:
    """Return names and values as a table; None without any."""
    if not values:
        return None
    rows = [
        html.Tr([html.Th(key, scope="row"), html.Td(text_of_value(value))])
        for key, value in values.items()
    ]
    return html.Table(html.Tbody(rows), className="rs-pairs")


def _outcome(row: Mapping[str, Any], directory: Path, texts: Texts) -> dict[str, Any]:
    outcome = _json(texts.read(RunDir(directory).outcome_file))
    times = {
        key: f"{row[key]:%Y-%m-%d %H:%M:%S} UTC"
        for key in ("started", "ended")
        if row[key] is not None
    }
    seconds = None if row["seconds"] is None else f"{row['seconds']:.1f} s"
    memory = None if row["peak_memory"] is None else f"{row['peak_memory'] / 2**20:.0f} MiB"
    notes = outcome.get("notes")
    values = {
        "state": row["state"],
        "seed": row["seed"],
        **times,
        "time": seconds,
        "rows": row["rows"],
        "host": row["host"],
        "slot": row["slot"],
        "attempt": row["attempt"],
        "exit code": outcome.get("exit_code"),
        "signal": outcome.get("signal"),
        "message": outcome.get("message") or None,
        "notes": "\n".join(map(str, notes)) if isinstance(notes, list) and notes else None,
        "peak memory": memory,
        "kind": row["kind"],
    }
    return {key: value for key, value in values.items() if value is not None}


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def run_figures(results: Results, row: Mapping[str, Any]) -> dict[str, Figure]:
    """Return a figure for each metric of the run, the likely objective first."""
    rows = results.progress.filter(pl.col("run") == row["run"])
    x = default_x(results)
    if x != ROW and (x not in rows.columns or rows[x].null_count() == rows.height):
        x = ROW
    numeric = [
        m
        for m in results.metrics
        if m != x and rows[m].dtype == pl.Float64 and rows[m].is_finite().any()
    ]
    first = [m for m in default_y(results.metrics) if m in numeric]
    metrics = list(dict.fromkeys([*first, *numeric]))[:_MOST_CURVES]
    return {
        m: curves_figure(Panel(m, x, "", (_one_curve(rows, x, m, row["run"]),))) for m in metrics
    }


def run_panels(figures: Mapping[str, Figure], version: int) -> list[Any]:
    """Return the figures, of this version, in their frames."""
    panels = []
    for i, (metric, figure) in enumerate(figures.items()):
        graph = dcc.Graph(
            id={"type": "run-panel", "at": i}, figure=with_mark(figure, version), config=CONFIG
        )
        plot = html.Div(graph, className="rs-plot", style={"height": 230})
        panels.append(html.Section([html.H2(metric), plot], className="rs-panel"))
    return panels


def _one_curve(rows: pl.DataFrame, x: str, metric: str, run: str) -> Curve:
    null = pl.lit(None, pl.Float64)
    points = rows.select(pl.col(x).cast(pl.Float64).alias("x"), pl.col(metric).alias("center"))
    points = points.drop_nulls().filter(pl.col("center").is_not_nan() & pl.col("x").is_finite())
    points = points.with_columns(curve=pl.lit(0), n=pl.lit(1, pl.UInt32), low=null, high=null)
    return Curve(metric, 0, 1, decimate(points, "curve", 500), run)


def console(results: Results, run: str, texts: Texts) -> Any:
    """Return the end of a run's console as it is now; None where it has none."""
    rows = results.runs.filter(pl.col("run") == run)
    if not rows.height:
        return None
    text = texts.read(RunDir(texts.directory(rows["path"][0])).console)
    return None if text is None else console_text(text, _CONSOLE_LINES)


def _console(row: Mapping[str, Any], directory: Path, texts: Texts) -> Any:
    text = texts.read(RunDir(directory).console)
    if text is None:
        return None
    ended = row["state"] not in UNDER_WAY
    tail = html.Pre(console_text(text, _CONSOLE_LINES), id="console", className="rs-text")
    return html.Div(
        [
            html.Section(
                [html.H2("Console"), html.Div(tail, className="rs-tail", tabIndex="0")],
                className="rs-card",
            ),
            dcc.Interval(id="console-tick", interval=2000, disabled=ended),
        ],
        style={"marginTop": "0.9rem"},
    )


def _snapshots(directory: Path) -> Any:
    """List snapshots by name and size; they are pickles, and are never opened here."""
    files = [
        f
        for f in sorted(directory.iterdir())
        if f.suffix in {".pkl", ".pt", ".zip", ".ckpt"} and not f.is_symlink()
    ]
    return card("Snapshots", pairs({f.name: _size(f.stat().st_size) for f in files if f.is_file()}))


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"


def _code(directory: Path, texts: Texts) -> list[Any]:
    run = RunDir(directory)
    code = run.about_code()
    work = _json(texts.read(run.run_file)).get("work")
    texts_by_name = {
        "work": json.dumps(work, indent=1) if work else None,
        "commit": texts.read(code.git_infos),
        "script": texts.read(code.script_name),
    }
    about = {key: value.strip() for key, value in texts_by_name.items() if value}
    parts = [card("Code", pairs(about))]
    for patch in sorted(code.path.glob("*.patch")):
        text = texts.read(patch, _PATCH_BYTES)
        if text:
            parts.append(card(patch.name, html.Pre(_diff(text), className="rs-text", tabIndex="0")))
    return (
        [html.Div(parts, style={"marginTop": "0.9rem", "display": "grid", "gap": "0.9rem"})]
        if about or len(parts) > 1
        else []
    )


def _diff(text: str) -> list[Any]:
    """Return a patch with its added and removed lines in colour."""
    lines: list[Any] = []
    for line in text.splitlines(keepends=True):
        kind = (
            "rs-where"
            if line.startswith(("@@", "diff ", "+++", "---", "index "))
            else _SIGNS.get(line[:1])
        )
        lines.append(html.Span(line, className=kind) if kind else line)
    return lines


_SIGNS = {"+": "rs-added", "-": "rs-removed"}


def _affinity(directory: Path, texts: Texts) -> Any:
    """Draw the run's share of its machine: each core it had, among those that the slot's record
    implies."""
    run = RunDir(directory)
    attempt = _json(texts.read(run.attempt_file))
    slot = attempt.get(LEASE, attempt.get("slot"))
    if not isinstance(slot, dict):
        return None
    cores = [core for core in slot.get("cores", []) if isinstance(core, dict)]
    machine = machine_cores(slot.get("host"))
    pus = {pu for core in cores for pu in core.get("pus", [])}
    parts: list[Any] = []
    for place, cores_there in _by_place(machine or cores).items():
        parts.append(html.Div(place, className="rs-n", style={"fontSize": "0.8rem"}))
        squares = [
            html.Span(
                className="rs-core",
                title=f"CPUs {', '.join(map(str, core['pus']))}",
                **attributes(data_own=bool(pus & set(core["pus"]))),
            )
            for core in cores_there
        ]
        parts.append(html.Div(squares, className="rs-cores"))
    gpus = [gpu for gpu in slot.get("gpus", []) if isinstance(gpu, dict)]
    parts += [
        html.Span(
            f"GPU {gpu.get('index', '')} {gpu.get('name', '')}",
            className="rs-gpu",
            **attributes(data_own=True),
        )
        for gpu in gpus
    ]
    words = (
        f"slot {slot.get('index')} on {slot.get('host')}: CPUs {', '.join(map(str, sorted(pus)))}"
    )
    if not machine:
        words += "; the run's own cores alone are drawn, since it ran on another machine"
    return card("Slot", html.Div([*parts, html.Div(words, style={"fontSize": "0.85rem"})]))


def _by_place(cores: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    places: dict[str, list[Mapping[str, Any]]] = {}
    for core in cores:
        nodes = ", ".join(map(str, core.get("numa") or ())) or "–"
        places.setdefault(f"package {core.get('package')}, NUMA node {nodes}", []).append(core)
    return places


def machine_cores(host: Any) -> list[Mapping[str, Any]]:
    """Return all cores of this machine, where the run was on it."""
    import socket

    from runslot.errors import RunslotError
    from runslot.hardware.probe import probe

    if host != socket.gethostname():
        return []
    try:
        return list(probe().to_json()["cores"])
    except (RunslotError, OSError):
        return []


def run_address(run: str) -> str:
    """Return the address of a run's page."""
    return f"/run?{urlencode({'run': run})}"


@record
class RunContent:
    """What the browser has of a run's page, but for its console and its code."""

    state: str | None
    heading: Any
    cards: Any
    figures: Mapping[str, Figure]
    """By metric."""

    def same(self, part: str, other: RunContent | None) -> bool:
        """Tell whether a part is as it was."""
        return other is not None and _text(getattr(self, part)) == _text(getattr(other, part))


def _text(component: Any) -> str:
    return json.dumps(component, cls=PlotlyJSONEncoder)


def shown_run(memory: Memory[RunContent], texts: Texts, run: str, moment: Moment) -> RunContent:
    """Return what a run's page shows now, and remember it; `NotFound` where the run is gone."""

    def draw() -> RunContent:
        row = row_of(moment.results, run)
        directory = texts.directory(row["path"])
        cards = run_cards(moment.results, row, directory, texts)
        figures = run_figures(moment.results, row) | usage_figures(directory, texts)
        return RunContent(row["state"], run_heading(row), cards, figures)

    return memory.show(run, moment.version, draw)
