"""The export: a view's figures for a paper, with their data and the script that draws them again, as one zip file."""

from __future__ import annotations

import io
import zipfile

from flask import Flask, Response, request

from runslot.errors import RunslotError
from runslot.view.data.choices import Choices
from runslot.view.paper.figure import FORMATS, paper_files
from runslot.view.web.live_runs import Watched


def add_export(server: Flask, watched: Watched) -> None:
    """Answer `/export?as=pdf&…` with the curves that the rest of the address says."""

    @server.get("/export")
    def export() -> Response:
        kind = request.args.get("as", "pdf")
        if kind not in FORMATS:
            return _refused(f"as={kind!r} is none of {', '.join(FORMATS)}")
        try:
            moment = watched.now(request.query_string.decode())
            choices = Choices.from_query(request.query_string.decode())
            files = paper_files(moment.results, choices, "figure", kind, rows=moment.rows)
        except RunslotError as error:
            return _refused(str(error))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        headers = {"Content-Disposition": 'attachment; filename="figure.zip"'}
        return Response(packed.getvalue(), content_type="application/zip", headers=headers)


def _refused(text: str) -> Response:
    return Response(text, 400, content_type="text/plain; charset=utf-8")
