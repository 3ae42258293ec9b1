"""What the server answers at `/`: the page that opens first, its document, its script.

`runslot.view.web.app` adds it before Dash, whose pages stand at `/plots`, `/run` and `/compare`.
What must stay true: an address that names a choice of the plots leads there, as it always did; the
page is sent before the runs are read, so that something is seen at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from flask import Flask, Response, redirect, request

from runslot.errors import RunslotError
from runslot.view.data.answer import answer_of
from runslot.view.data.choices import LEAST, MOST, ONLY, WITHOUT, Choices
from runslot.view.web.answer import document, runs_by_label
from runslot.view.web.answer_curves import metric_curves
from runslot.view.web.guard import PageGuard
from runslot.view.web.live_runs import LiveRuns, Memory
from runslot.view.web.texts import Texts

PARTS = Path(__file__).parent / "first_view"
"""The script and the look of the page."""
SCRIPTS = (
    "chart.js", "channels.js", "notes.js", "heat.js", "metrics.js", "search.js", "live.js",
    "runs.js", "table.js", "answer.js",
)  # fmt: skip
"""In the order in which they need each other."""
_OWN = {
    "base", "show", "off", "find", "k", "order", "task", "view",
    "also", "less", "pick", "at", "size", "big", "more", "hx", "hy", "search",
    "group", "left", "colour", "dash", "facet",
}  # fmt: skip
"""What the address says of this page alone; `base` is the pinned variant."""
_CHOSEN = {
    "path",
    "y",
    "mode",
    "by",
    "where",
    "text",
    "state",
    "include",
    "diverged",
    "seeds",
    "level",
    "log",
}
"""Choices of the plots that this page has, too."""
_PREFIXES = (ONLY, WITHOUT, LEAST, MOST)
_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>runslot</title>
<link rel="icon" href="data:,">
{head}
</head>
<body>
<div id="answer"><p class="wait" role="status">Reading the runs …</p></div>
<noscript>This page is drawn by a script; <code>runslot results</code> prints the same.</noscript>
{data}
</body>
</html>
"""


@cache
def part(name: str) -> str:
    """Return the script or the look of the page."""
    return (PARTS / name).read_text("utf-8")


@cache
def _stamp(name: str) -> str:
    return hashlib.sha256(part(name).encode()).hexdigest()[:12]


def page_html(head: str, data: dict[str, Any] | None) -> str:
    """Return the page with a document in it, where there is one."""
    text = (
        "" if data is None else f'<script type="application/json" id="data">{safe(data)}</script>'
    )
    return _HTML.format(head=head, data=text)


def safe(data: dict[str, Any]) -> str:
    """Return JSON that cannot end the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def belongs_to_plots(query: str) -> bool:
    """Tell whether an address says something that only the page of plots has."""
    names = parse_qs(query, keep_blank_values=True)
    return any(
        name not in _OWN | _CHOSEN and not name.startswith(_PREFIXES) and hasattr(Choices, name)
        for name in names
    )


def add_answer(server: Flask, runs: LiveRuns, texts: Texts, guard: PageGuard) -> None:
    """Answer `/`, `/answer.json`, `/answer-runs.json` and `/metrics.json`."""
    memory: Memory[str] = Memory()
    _add_parts(server)
    _add_runs(server, runs)

    def encoded(query: str, since: str | None) -> str | None:
        """Return the document; None where the page has it, or where drawing it rests."""
        moment = runs.now(query)
        if since is not None and (since == str(moment.version) or memory.rests(query)):
            return None

        def written() -> str:
            choices = Choices.from_query(query)
            base, also = request.args.get("base", ""), request.args.getlist("also")
            return safe(document(moment, choices, base, texts, also))

        return memory.show(query, moment.version, written)

    @server.get("/")
    def first() -> Any:
        query = request.query_string.decode("utf-8", "replace")
        if belongs_to_plots(query):
            return redirect(f"/plots?{query}")
        head = ['<meta name="runslot-writes">'] if guard.is_owner(request) else []
        head.append(f'<link rel="stylesheet" href="/first/answer.css?{_stamp("answer.css")}">')
        scripts = [
            f'<script defer src="/first/{name}?{_stamp(name)}"></script>' for name in SCRIPTS
        ]
        response = Response(page_html("\n".join([*head, *scripts]), None), content_type="text/html")
        response.headers["Cache-Control"] = "no-cache"
        return response

    @server.get("/answer.json")
    def answer() -> Response:
        query = without(request.query_string.decode("utf-8", "replace"), "since")
        try:
            text = encoded(query, request.args.get("since"))
        except RunslotError as error:
            return json_answer(json.dumps({"message": str(error)}))
        if text is None:
            return Response(status=204, headers={"Runslot-Rest": f"{runs.rest_s:.1f}"})
        return json_answer(text)


def _add_runs(server: Flask, runs: LiveRuns) -> None:
    """Answer `/answer-runs.json` and `/metrics.json`, which the page asks for later, and
    `/reading.json`, which it asks for while it waits."""

    @server.get("/reading.json")
    def reading() -> Response:
        query = request.query_string.decode("utf-8", "replace")
        return json_answer(safe(dataclasses.asdict(runs.progress(query))))

    @server.get("/answer-runs.json")
    def answer_runs() -> Response:
        """Answer with the runs of one variant, or with all by variant."""
        query = without(request.query_string.decode("utf-8", "replace"), "label")
        label = request.args.get("label")
        try:
            results, selection, choices = runs.now(query).question(Choices.from_query(query))
            answer = answer_of(selection, results, choices, "")
        except RunslotError as error:
            return json_answer(json.dumps({"message": str(error)}))
        if label is None:
            return json_answer(safe({"all": runs_by_label(selection, answer)}))
        return json_answer(safe({"runs": runs_by_label(selection, answer, [label]).get(label, [])}))

    @server.get("/metrics.json")
    def metrics() -> Response:
        """Answer with the curves of some metrics, of some variants or of some runs."""
        query = request.query_string.decode("utf-8", "replace")
        names = {word: request.args.getlist(word) for word in ("metric", "label", "run")}
        try:
            moment, choices = runs.now(query), Choices.from_query(query)
            curves = metric_curves(moment, choices, **names)
        except RunslotError as error:
            return json_answer(json.dumps({"message": str(error)}))
        return json_answer(safe({"curves": curves}))


def _add_parts(server: Flask) -> None:
    """Answer with the script and the look of the page."""

    @server.get("/first/<name>")
    def first_part(name: str) -> Response:
        kinds = {**dict.fromkeys(SCRIPTS, "text/javascript"), "answer.css": "text/css"}
        if name not in kinds:
            return Response("There is no such part", 404, content_type="text/plain")
        response = Response(part(name), content_type=f"{kinds[name]}; charset=utf-8")
        response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
        return response


def without(query: str, name: str) -> str:
    """Return an address without one of its names."""
    return "&".join(pair for pair in query.split("&") if pair.partition("=")[0] != name)


def json_answer(text: str) -> Response:
    """Return JSON that no browser keeps."""
    response = Response(text, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
