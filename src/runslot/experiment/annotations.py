"""Tags and notes that people put on runs, variants and experiments, after the fact.

`runslot tag` and `runslot note` write them, `runslot.results` reads them. What must stay true: they
lie in one file of the experiment, a line each, only appended to; a run's own directory, which is
the contract, is left as it is.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from runslot.errors import Damaged, InvalidInput
from runslot.experiment.files import open_to_append, read_lines
from runslot.experiment.shape import FORMAT, check_format
from runslot.record import record

ANNOTATIONS = "annotations.jsonl"
_TAG = re.compile(r"[\w.:+/@-]{1,64}")
_MOST_NOTE_CHARACTERS = 2000


@record
class Annotation:
    """What is said of one place, or taken back."""

    place: str
    """Below the experiment: a run's directory, a variant's, or empty for the experiment."""
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    note: str | None = None
    """In the place of the note before; empty for none."""

    def __post_init__(self) -> None:
        for tag in (*self.add, *self.remove):
            if not _TAG.fullmatch(tag):
                raise InvalidInput(
                    f"{tag!r} is no tag: letters, digits and . : + / @ _ - make one, up to 64"
                )
        if self.note is not None and len(self.note) > _MOST_NOTE_CHARACTERS:
            raise InvalidInput(
                f"the note has {len(self.note)} characters; {_MOST_NOTE_CHARACTERS} are the most"
            )


@record
class Annotations:
    """What stands at the places of one experiment."""

    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By place, in the order in which they were put."""
    notes: Mapping[str, str] = field(default_factory=dict)

    def of(self, run: str) -> tuple[str, str]:
        """Return the tags, sorted, and the notes of a run: its own, its variant's, its
        experiment's."""
        parts = run.split("/")
        places = ["", *("/".join(parts[: n + 1]) for n in range(len(parts)))]
        tags = sorted({tag for place in places for tag in self.tags.get(place, ())})
        notes = [self.notes[place] for place in places if self.notes.get(place)]
        return ", ".join(tags), " · ".join(notes)


def read_annotations(experiment: Path) -> Annotations:
    """Return what was put on an experiment's runs so far. Raises `Damaged` for a line that is none,
    `OSError` where the file cannot be read.
    """
    file = experiment / ANNOTATIONS
    if not file.is_file() or file.is_symlink():
        return Annotations()
    tags: dict[str, tuple[str, ...]] = {}
    notes: dict[str, str] = {}
    for line in read_lines(file):
        try:
            check_format(line)
        except Damaged as error:
            raise type(error)(f"{file}: {error}") from error
        place = str(line.get("place", ""))
        removed = set(map(str, line.get("remove", ())))
        added = [str(tag) for tag in line.get("add", ())]
        tags[place] = tuple(
            dict.fromkeys([t for t in tags.get(place, ()) if t not in removed] + added)
        )
        if line.get("note") is not None:
            notes[place] = str(line["note"])
    return Annotations(tags, notes)


def annotate(experiment: Path, annotations: Sequence[Annotation]) -> None:
    """Append to the file of an experiment. Raises `OSError` where that cannot be, `Damaged` where
    nobody could read it afterwards.
    """
    read_annotations(experiment)
    lines = []
    for annotation in annotations:
        line = {"format": FORMAT, "time": time.time(), "place": annotation.place}
        line |= {"add": list(annotation.add)} if annotation.add else {}
        line |= {"remove": list(annotation.remove)} if annotation.remove else {}
        line |= {} if annotation.note is None else {"note": annotation.note}
        lines.append(json.dumps(line, ensure_ascii=True) + "\n")
    descriptor = open_to_append(experiment / ANNOTATIONS)
    try:
        data = "".join(lines).encode()
        while data:  # a line each, in one call where the disk takes it
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
