"""What the server takes: tags and notes, written on the page, of its owner alone.

`runslot.view.web.app` adds it. What must stay true: readers with a token of their own, and whoever
reaches a server without a token, write nothing; a run's own directory is left as it is
(`runslot.experiment.annotations`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from flask import Flask, Response, request

from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.annotations import Annotation, annotate, read_annotations
from runslot.results.results import Results
from runslot.view.data.answer import answer_of
from runslot.view.data.choices import Choices
from runslot.view.web.answer_routes import json_answer, safe
from runslot.view.web.guard import PageGuard
from runslot.view.web.live_runs import LiveRuns, home_of

_NOT_YOURS = (
    "Tags and notes are written by the owner of this page: open the address that `runslot view` "
    "printed, or use `runslot tag` and `runslot note`"
)
Places = Mapping[Path, list[str]]
"""By experiment: directories below it."""


def add_annotations(server: Flask, runs: LiveRuns, guard: PageGuard) -> None:
    """Answer `/annotate`: what stands at a variant or a run, and what is put there."""

    @server.get("/annotate")
    def stands() -> Response:
        try:
            places = _places(runs, request.query_string.decode("utf-8", "replace"), request.args)
        except RunslotError as error:
            return json_answer(json.dumps({"message": str(error)}))
        return json_answer(safe(_standing(places)))

    @server.post("/annotate")
    def put() -> Response:
        if not guard.is_owner(request):
            return _refusal(_NOT_YOURS, 403)
        change = request.get_json(silent=True)
        if not isinstance(change, dict):
            return _refusal("this is no JSON object", 400)
        try:
            places = _places(runs, str(change.get("query", "")), change)
            _write(places, change)
        except (RunslotError, OSError) as error:
            return _refusal(str(error), 400)
        return json_answer(safe(_standing(places)))


def _refusal(text: str, status: int) -> Response:
    response = json_answer(json.dumps({"message": text}))
    response.status_code = status
    return response


def _places(runs: LiveRuns, query: str, names: Mapping[str, Any]) -> Places:
    """Return where words on a variant (`label`) or a run (`run`) of the page have their place."""
    moment = runs.now(query)
    if isinstance(names.get("run"), str):
        matches = moment.results.where(pl.col("run") == names["run"])
        return _by_home(matches, set(map(Path, matches.runs["path"])))
    results, selection, choices = moment.question(Choices.from_query(query))
    answer = answer_of(selection, results, choices, "")
    labels = [group.label for group in answer.groups.groups]
    if names.get("label") not in labels:
        raise InvalidInput(f"there is no variant {names.get('label')!r}")
    place = labels.index(names["label"])
    members = [run for run, at in answer.groups.of.items() if at == place]
    matches = selection.where(pl.col("run").is_in(members))
    paths = set(matches.runs["path"])
    other_parents = {Path(path).parent for path in moment.results.runs["path"] if path not in paths}
    return _by_home(matches, other_parents)


def _by_home(results: Results, shared: set[Path]) -> Places:
    """Return the directories of the runs' variants, of runs in `shared` ones their own.

    Raises `InvalidInput` where there is no run, and where one is of no experiment.
    """
    places: dict[Path, list[str]] = {}
    for text, experiment in results.runs.select("path", "experiment").iter_rows():
        path, home = Path(text), home_of(Path(results.base), experiment)
        if not home.experiment_file.is_file():
            raise InvalidInput(
                "tags and notes are kept in an experiment of runslot's, and this run is of none"
            )
        is_own = path in shared or path.parent in {*shared, home.path}
        below = os.path.relpath(path if is_own else path.parent, home.path)
        places.setdefault(home.path, [])
        if below not in places[home.path]:
            places[home.path].append(below)
    if not places:
        raise InvalidInput("there is no such run")
    return places


def _standing(places: Places) -> dict[str, Any]:
    """Return the tags and the notes at these very places."""
    tags: dict[str, None] = {}
    notes: dict[str, None] = {}
    for home, below in places.items():
        annotations = read_annotations(home)
        for place in below:
            tags |= dict.fromkeys(annotations.tags.get(place, ()))
            if annotations.notes.get(place):
                notes[annotations.notes[place]] = None
    return {"tags": list(tags), "note": list(notes)}


def _write(places: Places, change: Mapping[str, Any]) -> None:
    tags, note = change.get("tags", []), change.get("note")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidInput("tags are a list of words")
    if note is not None and not isinstance(note, str):
        raise InvalidInput("a note is a text")
    for home, below in places.items():
        annotations = read_annotations(home)
        lines = []
        for place in below:
            before = annotations.tags.get(place, ())
            add = tuple(tag for tag in tags if tag not in before)
            remove = tuple(tag for tag in before if tag not in tags)
            if add or remove or note is not None:
                lines.append(Annotation(place, add, remove, note))
        if lines:
            annotate(home, lines)
