"""What the server answers besides the page: figures for a paper as one zip file; and that answers
travel compressed.

`runslot.view.web.app` adds both. What must stay true: what was installed with Dash is compressed
once, not an answer.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import zipfile

from flask import Flask, Response, request

from runslot.errors import RunslotError
from runslot.experiment.states import UNDER_WAY
from runslot.view.data.choices import Choices
from runslot.view.data.groups import aimed
from runslot.view.paper.figure import FORMATS, paper_files
from runslot.view.web.live_runs import LiveRuns

SUITES = "/_dash-component-suites"
"""Where Dash serves the scripts that were installed with it."""
_COMPRESSED_TYPES = (
    "application/json",
    "application/javascript",
    "text/javascript",
    "text/css",
    "text/html",
    "image/x-icon",
)
_FEWEST_BYTES = 1024
"""Of an answer that is compressed."""


def add_export(server: Flask, runs: LiveRuns) -> None:
    """Answer `/export?as=pdf&…` with the figures that the rest of the address says, their data and
    their script."""

    @server.get("/export")
    def export() -> Response:
        kind = request.args.get("as", "pdf")
        if kind not in FORMATS:
            return _refusal(f"as={kind!r} is none of {', '.join(FORMATS)}")
        try:
            moment = runs.now(request.query_string.decode())
            choices = Choices.from_query(request.query_string.decode())
            results = moment.shown(choices)
            choices = aimed(choices, moment.goal, results)
            files = paper_files(results, choices, "figure", kind, rows=moment.rows)
        except RunslotError as error:
            return _refusal(str(error))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        headers = {"Content-Disposition": 'attachment; filename="figure.zip"'}
        return Response(buffer.getvalue(), content_type="application/zip", headers=headers)


def add_versions(server: Flask, runs: LiveRuns) -> None:
    """Answer `/version` with the number of what there is now, and after how many seconds it is
    worth to ask again: so an open page costs little while nothing happens."""

    @server.get("/version")
    def version() -> Response:
        try:
            moment = runs.now(request.query_string.decode("utf-8", "replace"))
        except RunslotError as error:
            return _refusal(str(error))
        is_live = bool(moment.results.runs["state"].is_in(list(UNDER_WAY)).any())
        answer = {"version": moment.version, "is_live": is_live, "rest_s": runs.rest_s}
        response = Response(json.dumps(answer), content_type="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response


def _refusal(text: str) -> Response:
    return Response(text, 400, content_type="text/plain; charset=utf-8")


def compress(response: Response) -> Response:
    """Compress an answer, for pages that are looked at through a slow tunnel."""
    is_wanted = "gzip" in request.headers.get("Accept-Encoding", "") and response.status_code == 200
    if (
        not is_wanted
        or response.mimetype not in _COMPRESSED_TYPES
        or "Content-Encoding" in response.headers
    ):
        return response
    response.direct_passthrough = False
    data = response.get_data()
    if len(data) > _FEWEST_BYTES:
        is_installed = request.method == "GET" and request.path.startswith(SUITES)
        response.set_data(_compressed_once(data) if is_installed else gzip.compress(data, 6))
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    return response


@functools.lru_cache(maxsize=64)
def _compressed_once(data: bytes) -> bytes:
    """Compress a script that was installed; there are a few, asked for by every browser."""
    return gzip.compress(data, 9)
