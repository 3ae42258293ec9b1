"""Delete all that an experiment has in its bucket, with the parts that a killed push left and no list names."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from runslot.errors import RunslotError
from runslot.transport.bucket.store import Store

_AT_ONCE = 16


def clean(store: Store, names: Iterable[str]) -> None:
    """Delete objects; those that are left afterwards are an error. A clean that was killed is begun again."""
    # The lists first: no reader shall see one whose parts are gone.
    lists, parts = _apart(names)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for batch in (lists, parts):
            list(pool.map(lambda name: store.delete([name]), batch))
    remaining = store.names()
    if remaining:
        raise RunslotError(
            f"{len(remaining)} objects in {store.url} could not be deleted, as {min(remaining)}: "
            "these credentials may lack the right to delete, or something still writes there"
        )


def _apart(names: Iterable[str]) -> tuple[list[str], list[str]]:
    lists: list[str] = []
    parts: list[str] = []
    for name in names:
        (parts if "/parts/" in name else lists).append(name)
    return lists, parts
