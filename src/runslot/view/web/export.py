"""The page as one file: the same views, read-only, without a server (`runslot view --export`).

Called by the command. What must stay true: the file asks nothing of anybody, which a policy inside
it holds browsers to; nothing that a run wrote can become part of its code; Plotly, which only the
plots need, lies in it compressed.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, RunslotError
from runslot.view.data.choices import Choices
from runslot.view.data.marks import stroke
from runslot.view.web.answer import document
from runslot.view.web.answer_routes import SCRIPTS, page_html, part, safe
from runslot.view.web.content import PageContent, show
from runslot.view.web.library import packed, script
from runslot.view.web.live_runs import LiveRuns, Moment
from runslot.view.web.page import KINDS
from runslot.view.web.search_routes import with_searches
from runslot.view.web.texts import Texts

_FILE_SCRIPT = "file.js"


def export_page(
    file: Path,
    paths: Sequence[Path],
    choices: Choices,
    *,
    path: str | None = None,
    log: Sequence[str] = (),
) -> int:
    """Write the page of these runs as they are now, by rename; returns its size in bytes.

    Raises `NotFound` for a directory that is not there, `InvalidInput` for a place that cannot be
    written to and for choices that the runs do not have.
    """
    if file.is_dir() or not file.parent.is_dir():
        raise InvalidInput(f"--export {file}: give the path of a file in a directory that is there")
    runs = LiveRuns(paths, path=path, log=log)
    moment = runs.now()
    page = document(moment, choices, "", Texts(runs.roots), whole=True)
    page = with_searches(page, moment)
    page["base"] = Path(page["base"]).name  # where it lay is nobody's business
    if page["message"] is not None and moment.results.runs.height:
        raise InvalidInput(f"--export: {page['message']}")
    data = _html(page, _figures(moment, choices)).encode()
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(file)
    except OSError as error:
        raise InvalidInput(f"--export {file}: {error.strerror or error}") from error
    return len(data)


def _html(page: dict[str, Any], figures: list[dict[str, Any]]) -> str:
    scripts = [part(name) for name in (*SCRIPTS[:-1], _FILE_SCRIPT, SCRIPTS[-1])]
    hashes = " ".join(f"'sha256-{_hash(text)}'" for text in (*scripts, script()))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    head += f"<style>{part('answer.css')}</style>"
    library = base64.b64encode(packed()).decode()
    data_scripts = f'<script type="application/json" id="figures">{safe_list(figures)}</script>'
    data_scripts += f'<script type="text/plain" id="plotly">{library}</script>'
    html = page_html(head, page)
    tail = data_scripts + "".join(f"<script>{text}</script>" for text in scripts)
    before, after = html.rsplit("</body>", 1)
    return f"{before}{tail}\n</body>{after}"


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def safe_list(values: list[dict[str, Any]]) -> str:
    """Return a list as JSON that cannot end the element it stands in."""
    return f"[{','.join(safe(value) for value in values)}]"


def _figures(moment: Moment, choices: Choices) -> list[dict[str, Any]]:
    """Return the figures of each kind of plot that these runs have."""
    kinds = []
    for kind, name in KINDS.items():
        try:
            content = show(moment, dataclasses.replace(choices, kind=kind))  # type: ignore[arg-type]  # a key of KINDS is a kind
        except RunslotError:
            continue  # one group has no improvement; its tab is left out
        if content.figures:
            kinds.append({"kind": kind, "name": name, **_plain(content)})
    return kinds


def _plain(content: PageContent) -> dict[str, Any]:
    figures = [
        {
            "title": f"{metric} {split}".strip(),
            "data": figure["data"],
            "layout": figure["layout"],
        }
        for (metric, split), figure in zip(content.titles, content.figures, strict=True)
    ]
    legend = [
        {
            "label": group.label,
            "tally": tally,
            "colour": stroke(group.index).colour,
            "dash": stroke(group.index).dash,
        }
        for group, tally in content.legend
    ]
    return {"figures": figures, "legend": legend, "notes": list(content.notes)}
