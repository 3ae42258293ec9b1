"""Fonts for what the usual serif one has no letters for.

Called by `runslot.view.paper.figure` with all texts of a figure. What must stay true: nothing is
drawn as boxes, or as letters that do not join, without a word; and a font that was installed since
matplotlib last looked for fonts is used.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from runslot.errors import InvalidInput, NotInstalled, extra_said

_PREFERRED = (
    "Noto Serif CJK SC",
    "Noto Serif CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Serif SC",
    "Source Han Sans SC",
    "IPAexMincho",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Noto Serif",
    "DejaVu Serif",
    "DejaVu Sans",
)
"""Families that are asked first, in this order."""
_BOXES = "Last Resort"
"""How the name of the font begins that draws what no font has."""
_ASIAN_NAMES = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "IDEOGRAPHIC")
"""How the names of characters begin that fonts-noto-cjk has."""
_SHAPING_VERSION = (3, 11)
"""Of matplotlib: the first that joins letters and writes from right to left."""
_SHAPED = {"R", "AL"}
"""Unicode's words for letters that run from right to left."""
_SHAPED_NAMES = ("DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "KHMER", "MYANMAR", "SINHALA", "THAI")
"""Scripts whose letters take their form or place from what stands beside them."""


def matplotlib_library() -> Any:
    """Return matplotlib; raises `NotInstalled`."""
    try:
        import matplotlib
    except ImportError as error:
        raise NotInstalled(f"figures are drawn by matplotlib: {extra_said('plot')}") from error
    return matplotlib


def families_for(texts: Iterable[str], style: dict[Any, Any]) -> list[str]:
    """Return the families of fonts that draw these texts: the serif one of this style, and what is
    needed besides. Raises `InvalidInput` for characters that no font here has."""
    signs = {sign for text in texts for sign in text if ord(sign) > 0x7F and _is_drawn(sign)}
    if not signs:
        return ["serif"]
    matplotlib = matplotlib_library()
    with matplotlib.rc_context(style):
        lacking, families = signs - _signs_of("serif"), ["serif"]
        for family in _candidates() if lacking else ():
            more = lacking & _signs_of(family)
            if more:
                families.append(family)
                lacking -= more
            if not lacking:
                break
    if lacking:
        raise InvalidInput(_lack_words("".join(sorted(lacking))))
    if tuple(matplotlib.__version_info__[:2]) < _SHAPING_VERSION and any(map(_is_shaped, signs)):
        joined = "".join(sorted(filter(_is_shaped, signs)))
        raise InvalidInput(
            f"matplotlib {matplotlib.__version__} does not join {joined!r} to words: update it to"
            " 3.11, or choose other columns"
        )
    return families


def refuse_boxes(signs: str) -> None:
    """Raise `InvalidInput` where some characters would be drawn as boxes."""
    if signs:
        raise InvalidInput(_lack_words(signs))


def _lack_words(signs: str) -> str:
    where = "choose other columns"
    names = [unicodedata.name(sign, "") for sign in signs]
    if any(name.startswith(_ASIAN_NAMES) for name in names):
        where = f"install one, such as Debian's fonts-noto-cjk, or {where}"
    elif any(unicodedata.category(sign)[0] in "LMN" for sign in signs):
        where = f"install one, such as Debian's fonts-noto-core, or {where}"
    return f"no font here has {signs!r}, which would be boxes in the figure: {where}"


def _is_drawn(sign: str) -> bool:
    """Tell whether a character has a shape of its own, as a joiner or a selector has none."""
    return unicodedata.category(sign) != "Cf" and not 0xFE00 <= ord(sign) <= 0xFE0F


def _is_shaped(sign: str) -> bool:
    name = unicodedata.name(sign, "")
    return unicodedata.bidirectional(sign) in _SHAPED or name.startswith(_SHAPED_NAMES)


def _signs_of(family: str) -> set[str]:
    """Return all characters that a family's usual font has; none where it is not here."""
    from matplotlib import font_manager as fonts

    try:
        path = fonts.findfont(fonts.FontProperties(family=[family]), fallback_to_default=False)
        return set(map(chr, fonts.get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return set()


def _candidates() -> Iterator[str]:
    """Yield families to try: of those that matplotlib knows, then those that it has not seen."""
    from matplotlib import font_manager as fonts

    before = _usual_families(fonts.fontManager)
    yield from (name for name in _PREFERRED if name in before)
    paths = {str(font.fname) for font in fonts.fontManager.ttflist}
    for path in sorted({*fonts.findSystemFonts()} - paths):
        with contextlib.suppress(OSError, RuntimeError, NotImplementedError):  # pictures, say
            fonts.fontManager.addfont(path)
    now = _usual_families(fonts.fontManager)
    yield from (name for name in _PREFERRED if name in now - before)
    yield from sorted(now - {*_PREFERRED})


def _usual_families(manager: Any) -> set[str]:
    """Return the families that have an upright face of usual weight; without the one that has a box
    for every character."""
    return {
        font.name
        for font in manager.ttflist
        if (font.style, font.weight) == ("normal", 400) and not font.name.startswith(_BOXES)
    }
