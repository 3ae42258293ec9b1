"""Variants by what tells them apart, where their settings are too many or too long to be read:
fewer settings, named by their last parts, and of long values what differs.

Called by the tables of a terminal (`runslot.results.text.table`, `verdicts`). Pure. What must stay
true: labels that differ in full differ in short, and `note` says what was left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from rich.cells import cell_len

from runslot.record import record

LONGEST, FEW, LONGEST_SETTING = 80, 6, 40
"""Columns of a label up to which it is shown whole, settings of any length together, and columns of
each of them."""
_LONGEST_VALUE = 16
"""Columns of a value, or of the last part of a key, in a label that is too long even so."""
_BRIEF_OVER, _LEAST_ALIKE = 16, 4
"""Letters of a value over which it is shown by what differs, and how many have to be alike."""
_KEYS_NAMED = 3
_WORD_END = re.compile(r"[\s\-_/.,:=]")


@record
class ShortLabels:
    """What some variants are called."""

    words: tuple[tuple[str, ...], ...]
    """By variant: `key=value` for each setting that is shown."""
    keys: tuple[str, ...]
    """These settings, in full."""
    note: str
    """What was left out."""

    @property
    def labels(self) -> tuple[str, ...]:
        """By variant, in one line."""
        return tuple(", ".join(words) for words in self.words)


def short_labels(keys: Sequence[str], rows: Sequence[Sequence[str]]) -> ShortLabels | None:
    """Return short labels for variants that have these values (as text) of these keys; None where
    all can be shown whole."""
    names = short_names(keys)
    whole = [[f"{key}={row[i]}" for i, key in enumerate(keys)] for row in rows]
    if not keys or _is_readable(whole):
        return None
    columns = [_brief(column) for column in zip(*rows, strict=True)]
    telling = places_telling(rows)
    words: list[tuple[str, ...]] = []
    places_of_all = list(range(len(keys)))
    for places, longest in (
        (places_of_all, 0),
        (places_of_all, _LONGEST_VALUE),
        (telling, 0),
        (telling, _LONGEST_VALUE),
    ):
        texts = [_cut(columns[i], longest) for i in places]
        heads = _cut([names[keys[i]] for i in places], longest)
        words = [
            tuple(f"{head}={text}" for head, text in zip(heads, column, strict=True))
            for column in zip(*texts, strict=True)
        ]
        if _is_readable(words):
            break
    shown = tuple(keys[i] for i in places)
    return ShortLabels(tuple(words), shown, _note(keys, shown, words))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return each dotted key's last parts, as many as tell it from all others."""
    tails = {key: [key.split(".", n)[-1] for n in range(key.count("."), -1, -1)] for key in keys}
    counts = Counter(tail for several in tails.values() for tail in several)
    return {
        key: next((tail for tail in tails[key] if tail and counts[tail] == 1), key) for key in keys
    }


def names_note(keys: Sequence[str]) -> str:
    """Return which keys are shown by their last parts; nothing where none is."""
    names = short_names(keys)
    changed = [key for key in keys if names[key] != key]
    return f"Short for {_few(changed)}." if changed else ""


def _is_readable(words: Sequence[Sequence[str]]) -> bool:
    return all(
        (len(row) <= FEW or cell_len(", ".join(row)) <= LONGEST)
        and all(cell_len(word) <= LONGEST_SETTING for word in row)
        for row in words
    )


def _note(keys: Sequence[str], shown: Sequence[str], words: Sequence[Sequence[str]]) -> str:
    notes = []
    if any("…" in word for row in words for word in row):
        notes.append("… stands for what long values share, or for their middle.")
    notes.append(left_out_note(keys, shown) or names_note(keys))
    return " ".join([*filter(None, notes), "--csv - has all in full."])


def left_out_note(keys: Sequence[str], shown: Sequence[str]) -> str:
    """Return which of the settings are shown; nothing where all are."""
    if len(shown) == len(keys):
        return ""
    names = f"{_few(shown)} {'are' if shown[1:] else 'is'}"
    return f"Of {len(keys)} settings that vary {names} shown, enough to tell them apart."


def _few(names: Sequence[str]) -> str:
    more = len(names) - _KEYS_NAMED
    return ", ".join(names[:_KEYS_NAMED]) + (f" and {more} more" if more > 0 else "")


def places_telling(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the places of as few settings as tell the variants apart, as far as any do."""
    apart = len(set(map(tuple, rows)))
    chosen: list[int] = []
    groups: list[tuple[str, ...]] = [() for _ in rows]
    while len(set(groups)) < apart:
        counts = [
            len({(*group, row[i]) for group, row in zip(groups, rows, strict=True)})
            for i in range(len(rows[0]))
        ]
        best = max(range(len(counts)), key=counts.__getitem__)
        chosen.append(best)
        groups = [(*group, row[best]) for group, row in zip(groups, rows, strict=True)]
    return sorted(chosen) or [0]


def _brief(texts: Sequence[str]) -> list[str]:
    """Return long texts that begin or end alike without what they share, whole words alone."""
    different = list(dict.fromkeys(texts))
    if len(different) < 2 or max(map(len, different)) <= _BRIEF_OVER:
        return list(texts)
    start = _alike(different)
    while start and not _WORD_END.match(different[0][start - 1]):
        start -= 1
    room = min(map(len, different)) - start
    end = min(_alike([text[::-1] for text in different]), room)
    while end and not _WORD_END.match(different[0][len(different[0]) - end]):
        end -= 1
    start, end = (count if count >= _LEAST_ALIKE else 0 for count in (start, end))
    parts = [text[start : len(text) - end] for text in texts]
    return [
        f"{'…' * (start > 0)}{part}{'…' * (end > 0)}" if part else text
        for part, text in zip(parts, texts, strict=True)
    ]


def _alike(texts: Sequence[str]) -> int:
    letters = takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
    return sum(1 for _ in letters)


def _cut(texts: Sequence[str], longest: int) -> list[str]:
    """Return texts without their middles where they are longer; as they are where two would then
    read alike."""
    half = longest // 2
    short = [
        text if not longest or cell_len(text) <= longest else f"{text[:half]}…{text[-half:]}"
        for text in texts
    ]
    return short if len(set(short)) == len(set(texts)) else list(texts)
