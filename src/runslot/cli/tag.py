"""`runslot tag` and `runslot note`: what people say of runs, kept beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from runslot.cli.parameters import argument, flag
from runslot.cli.places import existing_place, experiments_at
from runslot.errors import InvalidInput
from runslot.experiment.annotations import Annotation, annotate, read_annotations
from runslot.terminal_text import echo

_PLACE = argument(metavar="DIR", help="A run's directory, a variant's, or an experiment's.")


def tag(
    directory: Annotated[Path, _PLACE],
    tags: Annotated[
        list[str] | None,
        argument(metavar="TAG", help="Words to put; none: what stands is printed."),
    ] = None,
    remove: Annotated[bool, flag("--remove", help="Take these away.")] = False,
) -> None:
    """Put tags on a run, a variant or an experiment, to find it by on the page and with --where."""
    experiment, place = _place(directory)
    words = tuple(tags or ())
    if remove and not words:
        raise InvalidInput("--remove: say which tags to take away")
    if words:
        change = Annotation(place, remove=words) if remove else Annotation(place, add=words)
        _write(experiment, change)
    stands = read_annotations(experiment).tags.get(place, ())
    echo(f"{directory}: {', '.join(stands) or 'no tags'}")


def note(
    directory: Annotated[Path, _PLACE],
    text: Annotated[
        str | None,
        argument(metavar="TEXT", help="In the place of the note before; '' for none."),
    ] = None,
) -> None:
    """Write a note on a run, a variant or an experiment, in the place of the one before."""
    experiment, place = _place(directory)
    if text is not None:
        _write(experiment, Annotation(place, note=text))
    stands = read_annotations(experiment).notes.get(place, "")
    echo(f"{directory}: {stands or 'no note'}")


def _place(directory: Path) -> tuple[Path, str]:
    """Return the experiment that a directory is or lies in, and the place below it."""
    from runslot.results.read.description import collection_of

    place = existing_place(directory)
    homes = {Path(collection_of(str(e.path.resolve()))) for e in experiments_at(place)}
    around = [home for home in homes if place == home or home in place.parents]
    if not around and len(homes) == 1:  # a name below the root, of one experiment
        return homes.pop(), ""
    if len(around) != 1:
        raise InvalidInput(
            f"{directory} holds {len(homes)} experiments: name one, a variant or a run of it"
        )
    home = around[0]
    return home, "" if place == home else str(place.relative_to(home))


def _write(experiment: Path, annotation: Annotation) -> None:
    try:
        annotate(experiment, [annotation])
    except OSError as error:
        raise InvalidInput(
            f"nothing can be written into {experiment}: {error.strerror or error}"
        ) from error
