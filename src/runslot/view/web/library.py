"""The libraries that the page of plots loads: Plotly's as far as it is needed, the table's later;
and at the server those of trees, behind the first answer.

Plotly's has scatter and bar, which all of the page's figures are made of.

It is npm's `plotly.js-basic-dist-min`, compressed, a quarter of the whole library. `app` answers
with it where Dash asks for the whole one, and `export` puts it into the file that travels. What
must stay true: the file is npm's own (`SHA256`), and figures use no other kind of trace (a test).
"""

from __future__ import annotations

import contextlib
import gzip
import re
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from dash import Dash
from flask import Flask, Response, request

from runslot.errors import NotInstalled
from runslot.results.statistics.forests import numeric_library
from runslot.view.web.routes import SUITES

VERSION = "4.1.1"
SHA256 = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
"""Of the file in npm's archive: `npm pack plotly.js-basic-dist-min@{VERSION}`."""
TRACES = frozenset({"scatter", "bar", "pie"})
PLOTLY = f"{SUITES}/plotly/package_data/plotly.min.js"
"""Where Dash looks for the whole library."""
_FILE = Path(__file__).parent / "library" / "plotly-basic.min.js.gz"


# What Dash would ask for only once there is a plot is asked for at once, while the server reads and
# draws.
EARLY = f"""
        <link rel="preload" as="script" href="{PLOTLY}">
        <link rel="preload" as="script" href="{SUITES}/dash/dcc/async-graph.js">
        """
_GRID = re.compile(r'<script src="([^"]*/dash_ag_grid/[^"]*)"></script>')


class PageApplication(Dash):
    """Dash, whose pages load the library of the table when somebody opens the table."""

    def interpolate_index(self, **parts: Any) -> str:  # type: ignore[override]  # Dash names all
        """Return the page's HTML without that script, whose address stands in its head."""
        tag = _GRID.search(parts["scripts"])
        if tag is not None:
            parts["scripts"] = parts["scripts"].replace(tag.group(0), "")
            parts["metas"] += f'<meta name="runslot-grid" content="{tag.group(1)}">'
        whole: Any = super().interpolate_index  # has no types
        return str(whole(**parts))


@cache
def packed() -> bytes:
    """Return the library, compressed by gzip."""
    return _FILE.read_bytes()


def script() -> str:
    """Return the library as text."""
    return gzip.decompress(packed()).decode()


def add_library(server: Flask) -> None:
    """Answer with it in the place of the whole library."""

    @server.get(PLOTLY)
    def plotly() -> Response:
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response = Response(packed(), content_type="text/javascript; charset=utf-8")
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Vary"] = "Accept-Encoding"
        else:
            response = Response(script(), content_type="text/javascript; charset=utf-8")
        response.headers["Cache-Control"] = "private, max-age=31536000"
        return response


def imports_ahead(response: Response) -> Response:
    """Import what Importance needs once that answer is sent, so that nobody waits for it."""
    response.call_on_close(_import_trees)
    return response


@cache
def _import_trees() -> None:
    def imported() -> None:
        with contextlib.suppress(NotInstalled), _without_pandas():  # what lacks is said where asked
            numeric_library()

    threading.Thread(target=imported, name="imports", daemon=True).start()


@contextlib.contextmanager
def _without_pandas() -> Iterator[None]:
    """Let nobody import pandas meanwhile, which trees do without: Dash, in another thread, would
    take a module that is half imported for a whole one, and its answer fail."""
    nothing: Any = None
    is_loaded = sys.modules.setdefault("pandas", nothing) is not None
    try:
        yield
    finally:
        if not is_loaded:
            sys.modules.pop("pandas", None)
