"""What the server answers at `/search.json`: the search that an experiment is, and what matters.

`runslot.view.web.app` adds it; the page asks where its document says that there are searches, and
the file that travels holds the answer.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import polars as pl
from flask import Flask, Response, request

from runslot.errors import RunslotError
from runslot.experiment.journal import read_events
from runslot.results.results import Results
from runslot.search.spec import SearchRecord
from runslot.search.start import record_of
from runslot.view.data.choices import Choices
from runslot.view.data.kinds import charts
from runslot.view.data.search import RunEnd, outline, study_of
from runslot.view.web.answer_routes import json_answer, safe
from runslot.view.web.live_runs import LiveRuns, Memory, Moment


def search_document(moment: Moment, name: str) -> dict[str, Any]:
    """Return the search of that name, the last one where there is none; `message` where it cannot
    be shown."""
    searches = moment.searches
    if not searches:
        return {"message": "No experiment here is a search."}
    choice = name if name in searches else next(reversed(searches))
    page: dict[str, Any] = {"name": choice, "names": list(searches), "message": None}
    try:
        home = searches[choice]
        file = home.read()
        record = record_of(file)
        results = moment.results.where(pl.col("experiment") == choice)
        study = study_of(record, file.name, read_events(home.journal_file), _ends(results, record))
    except (RunslotError, OSError) as error:
        return page | {"message": str(error)}
    places = {
        (variant, seed): run
        for run, variant, seed in results.runs.select("run", "variant", "seed").iter_rows()
    }
    sketch = outline(study)
    for trial in sketch["trials"]:
        trial["run"] = places.get((trial["name"], trial["seed"]))
    return page | sketch


def _ends(results: Results, record: SearchRecord) -> list[RunEnd]:
    columns = ["variant", "seed", "state"]
    if record.metric not in results.metrics:
        return [
            RunEnd(v or "", seed, state, None)
            for v, seed, state in results.runs.select(columns).iter_rows()
        ]
    mode = record.objective.mode
    scored = results.scores(record.metric, mode, record.judged)
    return [
        RunEnd(variant or "", seed, state, score)
        for variant, seed, state, score in scored.select(*columns, "score").iter_rows()
    ]


def importance_document(moment: Moment, name: str) -> dict[str, Any]:
    """Return which share of the score's variance each searched key explains, of the trials that ran
    to their end."""
    searches = moment.searches
    if name not in searches:
        return {"message": "No experiment here is a search."}
    try:
        record = record_of(searches[name].read())
        results = moment.confirmed.where(pl.col("experiment") == name)
        choices = Choices(kind="importance", y=(record.metric,), mode=record.mode)
        view = charts(results, choices, results, quick=True)
    except (RunslotError, OSError) as error:
        return {"message": str(error)}
    chart = view.charts[0]
    rows = chart.data.select("label", "value", "low", "high").rows(named=True)
    return {"message": None, "shares": rows, "notes": list(view.notes)}


def add_search(server: Flask, runs: LiveRuns) -> None:
    """Answer `/search.json`."""
    memory: Memory[str] = Memory()

    @server.get("/search.json")
    def search() -> Response:
        query = request.query_string.decode("utf-8", "replace")
        pairs = dict(parse_qsl(query))
        name, part = pairs.get("search", ""), pairs.get("part", "")
        try:
            moment = runs.now(query)
        except RunslotError as error:
            return json_answer(json.dumps({"message": str(error)}))

        def written() -> str:
            document = importance_document if part == "importance" else search_document
            return safe(document(moment, name))

        return json_answer(memory.show(f"{part} {name}", moment.version, written))


def with_searches(page: dict[str, Any], moment: Moment) -> dict[str, Any]:
    """Return the document of a file that travels with all searches in it."""
    documents = {
        name: search_document(moment, name) | {"importance": importance_document(moment, name)}
        for name in moment.searches
    }
    return page | {"search_documents": documents}
