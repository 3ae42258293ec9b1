"""From words to a `Search`, which `build` asks for; what a search was after, for who compares."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.cli.words import Words
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.rundir import ExperimentDir

if TYPE_CHECKING:
    from runslot.results.summary import Mode
    from runslot.search.spec import Search

_FIELDS: Mapping[str, str] = {
    "trials": "trials", "sampler": "sampler", "prune": "prune", "test_seeds": "test_seeds",
    "budget": "budget", "from": "sources", "by": "judged", "over": "over_seeds", "step": "step",
    "within": "within", "search": "space",
}  # fmt: skip
"""By word of a sweep file, the field of `Search` that it sets."""

WORDS = (*_FIELDS, "metric", "mode")


def search_of(values: Mapping[str, Any], words: Words) -> Search | None:
    """Return the search that the words ask for; None where none of them is of one."""
    present = [word for word in WORDS if word in values]
    race = values.get("seeds") if isinstance(values.get("seeds"), str) else None
    if not present and race is None:
        return None
    first = present[0] if present else "seeds"
    for word, example in (("metric", "--metric accuracy"), ("mode", "--mode max (or min)")):
        if word not in values:
            raise InvalidInput(
                f"{words.origin((first,))}{first} needs {word}: say what is to become best,"
                f" {example}"
            )
    from runslot.search.spec import Search

    fields = {field: values[word] for word, field in _FIELDS.items() if word in values}
    try:
        search = Search(values["metric"], values["mode"], **fields)
    except InvalidInput as error:  # which names the field that it refuses
        named = str(error).partition(" ")[0]
        word = next((word for word, field in _FIELDS.items() if field == named), named)
        raise InvalidInput(f"{words.origin((word,))}{error}") from None
    if search.words():
        from runslot.search.space import parse_space

        with words.at("search"):
            parse_space(search.words())
    return search


def objective_of(places: Sequence[str | os.PathLike[str]]) -> tuple[str | None, Mode | None]:
    """Return the metric that these experiments searched by, and which way is better; None where
    they did not, or not by the same.
    """
    objectives = set()
    for place in places:
        try:
            search = ExperimentDir(Path(place)).read().search or {}
        except RunslotError:
            search = {}
        objectives.add((search.get("metric"), search.get("mode")))
    return objectives.pop() if len(objectives) == 1 else (None, None)
