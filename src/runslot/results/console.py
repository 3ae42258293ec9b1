"""Metrics in what a run printed, for scripts that know nothing of runslot: a console's text becomes rows.

Read in place, when results are asked for: it costs the run nothing, and nothing of it can harm the run. Pure: the
caller reads the file, and takes these rows only where the run logged in no better way. Understood are

- pairs `name: 1.2`, `name=1.2`, `Epoch [3/10]`, `step 100`, several a line, after any prefix of a logging library;
- a line that is a JSON object, or a Python dict as Hugging Face's Trainer prints it;
- progress bars of tqdm (`loss=0.5` in the postfix, the bar's counter as `step`) and of Keras;
- the framed tables of OpenAI Baselines and Stable-Baselines3.

Lines that follow one another make one row as long as no name comes twice and no counter (epoch, step, …) changes.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence

MOST_CHARACTERS = 32 << 20
"""Of the end of a console that are read; a longer one is a log of something else than rows."""
MOST_IN_LINE = 4000
"""Characters of a line that are looked at."""
MOST_DEPTH = 8
"""Of objects in objects in a line."""
MOST_NAMES = 400
"""Different names in one console; what prints more prints no metrics."""

COUNTERS = frozenset(
    {
        "epoch", "step", "steps", "global_step", "iter", "iters", "iteration", "iterations", "episode", "episodes",
        "batch", "round", "update", "updates", "timestep", "timesteps", "total_timesteps", "generation", "itr",
    }
)  # fmt: skip
"""Names that count: a change of one begins a new row."""
_NO_METRICS = frozenset({"eta", "pid", "port", "line", "rank", "local_rank", "world_size"})
_MOST_SHAPES = 2000
"""Lines that differ in more than their numbers; what prints more is prose, and each line is looked at anew."""

_FLOAT = r"(?:\d+(?:_\d+)*\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|nan\b|NaN\b|inf\b|Inf\b)"
_NUMBER = re.compile(rf"(?<![\w.])[-+]?(?:(?P<float>{_FLOAT})|\d+(?:_\d+)*)(?![._]?\d)")
_WORD = r"[A-Za-z_][\w/.@-]*(?:\([\w%/ ]{1,12}\))?"
_NAME = rf"(?<![\w/.:-])(?P<name>{_WORD}(?: {_WORD}){{0,2}})"
_PAIR = re.compile(
    # In a line whose numbers are marks: \1 a whole number, \2 one with a fraction.
    rf"{_NAME}(?P<mark> ?= ?| ?: ?|(?<=\w) ?[\[(#]|(?= ))[\[(]? ?(?P<value>[\1\2])(?P<of> ?/ ?(?P<whole>[\1\2]))?"
    r"(?P<after>$|[\s,;:|)\]}%]|(?:s|ms|it/s|k|M)\b)"
)
_BAR = re.compile(r"\d+%\|[^|]*\| *(?P<count>[\d.]+)[kM]?/[\d.]+[kM]? *\[[^,\]]*,[^,\]]*(?:, *(?P<postfix>.*))?\]")
_TABLE_ROW = re.compile(r"^\|\s+(?P<name>[A-Za-z_][\w/ .-]*?)\s+\|\s+(?P<value>\S+)\s+\|$")
_TABLE_HEAD = re.compile(r"^\|\s+(?P<head>[\w.-]+/)\s+\|\s+\|$")
_REPR = re.compile(r"^[\w.]+\(.*\)$")
_NOISE = re.compile(r"\w+://\S+|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?|\b\d\d?:\d\d(?::\d\d)?\b")
_CONTROLS = re.compile(r"[\x00-\x1f]")  # \1 and \2 among them, which stand for numbers below
_COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

Row = dict[str, float]
_Plan = tuple[tuple[str, int, int | None], ...]
"""Of each metric of a line: its name, which number of the line it is, and which one it is to be divided by."""


def printed_rows(text: str, pattern: re.Pattern[str] | None = None) -> list[Row]:
    """Return the rows that `text` has, in order; `pattern` is used instead of all that is understood by itself."""
    rows: list[Row] = []
    row: Row = {}
    names: set[str] = set()
    for pairs in _Lines(pattern).pairs(text[-MOST_CHARACTERS:]):
        if _begins_row(row, pairs):
            rows.append(row)
            row = {}
        row.update(pairs)
        names.update(pairs)
        if len(names) > MOST_NAMES:
            return []
    if row:
        rows.append(row)
    return _with_counters(rows)


def _begins_row(row: Row, pairs: Row) -> bool:
    """Whether a line begins a new row: a metric comes again, a counter changes, or counters alone are a heading."""
    if all(map(_is_counter, pairs)) and not all(map(_is_counter, row)):
        return True
    return any(name in row and (not _is_counter(name) or row[name] != value) for name, value in pairs.items())


@functools.lru_cache(maxsize=4096)
def _is_counter(name: str) -> bool:
    return name.rsplit("/", 1)[-1].rsplit(" ", 1)[-1].lower() in COUNTERS


def _with_counters(rows: Sequence[Row]) -> list[Row]:
    """Carry counters on to rows that lack them, as the steps of an epoch that is named once, in a line of its own."""
    last: Row = {}
    whole = []
    for row in rows:
        last |= {name: value for name, value in row.items() if _is_counter(name)}
        if not all(map(_is_counter, row)):
            whole.append({**last, **row})
    return whole


class _Lines:
    """Reads lines into pairs; lines that differ in their numbers alone are understood once."""

    def __init__(self, pattern: re.Pattern[str] | None) -> None:
        self._pattern = pattern
        self._plans: dict[str, _Plan] = {}

    def pairs(self, text: str) -> Iterator[Row]:
        head, table = "", Row()
        for part in re.split(r"[\r\n]", text):  # a progress bar draws over itself
            line = part[:MOST_IN_LINE].strip()
            if not line.isprintable():
                line = _CONTROLS.sub(" ", _COLORS.sub("", line))
            if self._pattern is not None:
                pairs = _by_pattern(line, self._pattern)
            elif line.startswith("| "):
                if heading := _TABLE_HEAD.match(line):
                    head = heading["head"]
                elif (entry := _TABLE_ROW.match(line)) and (number := _number(entry["value"])) is not None:
                    table[head + entry["name"].strip()] = number
                continue
            else:
                if table:
                    yield table
                    head, table = "", Row()
                pairs = self._of_line(line)
            if pairs:
                yield pairs
        if table:
            yield table

    def _of_line(self, line: str) -> Row:
        if line.startswith("{") and line.endswith("}"):
            return _of_object(line)
        if "%|" in line:
            return self._of_bar(line)
        return self._of_words(line)

    def _of_bar(self, line: str) -> Row:
        bar = _BAR.search(line)
        if bar is None:
            return self._of_words(line)
        row = self._of_words(bar["postfix"] or "")
        if not row:
            return {}
        row = {**{k: v for k, v in self._of_words(line[: bar.start()]).items() if _is_counter(k)}, **row}
        return row if "step" in row else {**row, "step": float(bar["count"])}

    def _of_words(self, line: str) -> Row:
        if ":" in line or "/" in line:
            line = _NOISE.sub(" ", line)
        numbers: list[str] = []

        def mark(match: re.Match[str]) -> str:
            numbers.append(match[0])
            return "\1" if match["float"] is None else "\2"

        shape = _NUMBER.sub(mark, line)
        if not numbers:
            return {}
        plan = self._plans.get(shape)
        if plan is None:
            plan = _plan(shape)
            if len(self._plans) < _MOST_SHAPES:
                self._plans[shape] = plan
        row: Row = {}
        for name, index, whole in plan:
            value = float(numbers[index])
            row[name] = value if whole is None or not float(numbers[whole]) else value / float(numbers[whole])
        return row


def _plan(shape: str) -> _Plan:
    if _REPR.match(shape):  # Namespace(lr=0.1, epochs=3): settings
        return ()
    plan: dict[str, tuple[str, int, int | None]] = {}
    for match in _PAIR.finditer(shape):
        name = match["name"]
        if not _is_metric(name, match, shape):
            continue
        index = _marks_before(shape, match.start("value"))
        counts = _is_counter(name)
        # A counter is one in every line: `Epoch` of `Train Epoch`. Else 9913/10000 is a share.
        name = name.rsplit(" ", 1)[-1] if counts else name
        plan.setdefault(name, (name, index, None if counts or match["whole"] is None else index + 1))
    return tuple(plan.values())


def _marks_before(shape: str, position: int) -> int:
    return shape.count("\1", 0, position) + shape.count("\2", 0, position)


def _is_metric(name: str, match: re.Match[str], shape: str) -> bool:
    """Whether a pair is a metric: `epoch:3`, `loss:0.5` and `loss 0.5` are; `cuda:0`, `took 3 tries` are not."""
    if _is_counter(name):
        return True
    if name.lower() in _NO_METRICS:
        return False
    mark, has_fraction = match["mark"], match["value"] == "\2"
    if mark == "":  # by a blank alone: a number with a fraction, or one that stands apart from prose on both sides
        before = shape[: match.start("name")].rstrip()
        apart = before[-1:] in ("", "|", ",", ";", ":", "\1", "\2") and match["after"] in ("", "|", ",", ";")
        return " " not in name and (has_fraction or apart)
    if mark.strip() in ("[", "(", "#"):
        return False
    return "=" in mark or mark.endswith(" ") or has_fraction


def _by_pattern(line: str, pattern: re.Pattern[str]) -> Row:
    row: Row = {}
    for match in pattern.finditer(line):
        groups = match.groupdict()
        if "name" in groups and "value" in groups:
            groups = {groups["name"]: groups["value"]}
        row |= {name: value for name, text in groups.items() if (value := _number(text)) is not None}
    return row


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _of_object(line: str) -> Row:
    """Return the numbers of a line that is an object, as JSON or as Python prints a dict; nested ones by `/`."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(re.sub(r"(?<=: )(-?(?:nan|inf))\b", r"'\1'", line))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return {}
    return dict(_leaves(value, "")) if isinstance(value, dict) else {}


def _leaves(value: Mapping[object, object], above: str) -> Iterator[tuple[str, float]]:
    for key, item in value.items():
        if isinstance(item, dict) and above.count("/") < MOST_DEPTH:
            yield from _leaves(item, f"{above}{key}/")
        elif isinstance(item, (int, float, str)):
            # The Trainer prints its numbers as text: {'loss': '0.52', 'epoch': '1'}.
            number = _number(item) if isinstance(item, str) else float(item)
            if number is not None:
                yield f"{above}{key}", number
