"""Which variants of a space are meant: `where`, a condition as for results, and `exclude`, values to leave out.

`build` calls this for sweep files and the command line alike; in Python there is `Space.where`. The condition is read
by what reads `runslot results --where`, so that one language serves both; it is loaded only where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runslot.cli.words import Words
from runslot.errors import InvalidInput, nearest
from runslot.variants import Space, Variant, canonical, flatten


def narrowed(space: Space | None, values: Mapping[str, Any], words: Words) -> Space:
    """Return the variants of the space that are meant; `InvalidInput` where none is left, or a key is unknown."""
    word = "where" if "where" in values else "exclude"
    if space is None:
        raise InvalidInput(f"{words.origin((word,))}{word} chooses among variants, and there are none: use --grid")
    variants = list(space)
    kept = [True] * len(variants)
    if "exclude" in values:
        with words.at("exclude"):
            kept = _not_excluded(values["exclude"], variants)
    if "where" in values:
        with words.at("where"):
            kept = [keep and meets for keep, meets in zip(kept, _mask(values["where"], variants), strict=True)]
    if not any(kept):
        raise InvalidInput(f"{words.origin((word,))}leaves none of {len(variants)} variants")
    chosen = {canonical(variant) for variant, keep in zip(variants, kept, strict=True) if keep}
    return space.where(lambda variant: canonical(variant) in chosen)


def _has(variant: Variant, part: Mapping[str, Any]) -> bool:
    flat, wanted = flatten(variant), flatten(part)
    return all(key in flat and canonical(flat[key]) == canonical(value) for key, value in wanted.items())


def _not_excluded(parts: Sequence[Mapping[str, Any]], variants: Sequence[Variant]) -> list[bool]:
    known = {key for variant in variants for key in flatten(variant)}
    kept = [True] * len(variants)
    for part in parts:
        for key in flatten(part):
            if key not in known:
                raise InvalidInput(f"no variant has the key {key!r}{nearest(key, known)}")
        excluded = [_has(variant, part) for variant in variants]
        if not any(excluded):
            raise InvalidInput(f"no variant has {dict(part)}: nothing would be left out")
        kept = [keep and not out for keep, out in zip(kept, excluded, strict=True)]
    return kept


def _mask(condition: str, variants: Sequence[Variant]) -> list[bool]:
    import polars as pl

    from runslot.results.where import condition as read_condition

    rows = [{key: _cell(value) for key, value in flatten(variant).items()} for variant in variants]
    columns = dict.fromkeys(key for row in rows for key in row)
    frame = pl.DataFrame({key: pl.Series(key, [row.get(key) for row in rows], strict=False) for key in columns})
    meets = frame.select(read_condition(condition, frame.schema)).to_series()
    return [value is True for value in meets.to_list()]


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
