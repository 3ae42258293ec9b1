"""One printed line, as the pairs of names and numbers that it holds: `loss: 0.5`, `epoch=3`,
`Acc@1 55.0`.

`formats.printed_rows` calls `pairs_of` for every line that is no table, and makes rows of what it
returns. Lines that differ in their numbers alone are understood once. Pure.

A number is a metric only where the words around it say so. What is none: a setting in a call
(`Linear(features=64)`), a version, a commit, a seed, a port, a shape, a number of prose
(`took 3 tries`), what a warning or an error says.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence

MOST_DEPTH = 8
"""Of objects in objects in a line."""
_MOST_SHAPES = 2000
"""Lines that differ in more than their numbers; what prints more is prose, and each line is looked
at anew."""

COUNTERS = frozenset(
    {
        "epoch", "step", "steps", "global_step", "iter", "iters", "iteration", "iterations",
        "episode", "episodes",
        "batch", "round", "update", "updates", "timestep", "timesteps", "total_timesteps",
        "generation", "itr", "ep",
        "fold", "trial", "phase", "stage",
    }
)  # fmt: skip
"""Names that count: a change of one begins a new row."""
_NO_METRICS = frozenset(
    {
        "eta", "pid", "port", "line", "rank", "local_rank", "world_size", "seed", "version",
        "v_num", "commit", "sha",
        "hash", "id", "timestamp", "date", "python", "torch", "pytorch", "numpy", "tensorflow",
        "jax", "cuda", "cudnn",
        "status", "code", "shape", "size", "params", "parameters", "flops", "mode", "using",
        "workers",
    }
)  # fmt: skip
"""Last words of names that no run is judged by."""
_PROSE = frozenset(
    {
        "in", "of", "to", "at", "for", "from", "by", "with", "than", "about", "over", "under",
        "after", "before", "and",
        "or", "the", "a", "on", "until", "since", "per", "within", "every", "took", "now", "only",
        "has", "have", "are",
        "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "s", "ms", "sec", "seconds", "min",
        "minutes", "hours",
    }
)  # fmt: skip
"""Words that a number may follow in a sentence."""
_BEFORE_A_COUNT = frozenset(
    {"over", "of", "on", "in", "for", "after", "from", "the", "last", "first"}
)

_FRACTION = (
    r"\d+(?:_\d+)*\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+"
    r"|nan\b|NaN\b|inf\b|Inf\b"
)
_WHOLE = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:_\d+)*"
_NUMBER = re.compile(rf"(?<![\w.@])([-+]?(?:{_FRACTION}|{_WHOLE}))(?![._]?\d)")
_FRACTIONAL = frozenset(".eEnN")
_WORD = r"[A-Za-z_](?:[\w/.@-]|'(?=\w))*(?:\([\w%/ ]{1,12}\))?"
_NAME = rf"(?<![\w/.:'\1\2-])(?P<name>{_WORD}(?: {_WORD}){{0,2}})"
_PAIR = re.compile(
    # In a line whose numbers are marks: \1 a whole number, \2 one with a fraction.
    rf"{_NAME}(?P<mark> ?= ?| ?: ?|(?<=\w) ?[\[(#]|(?= ))(?P<bracket>[\[(]?) ?(?P<value>[\1\2])"
    r"(?P<of> ?/ ?(?P<whole>[\1\2]))?(?P<after>$|[\s,;:|)\]}%]|(?:s|ms|it/s|k|M)\b)"
)
_NEAR = re.compile(r"[=:\[(# ][\1\2]")
"""What a pair has at least."""
_AT = re.compile(
    # `Average loss at step 2000: 4.9`
    rf"(?<![\w/.:'-])(?P<name>{_WORD}(?: {_WORD}){{0,4}}?) (?:at|after|in|on|for) (?:the"
    r" )?(?P<counter>[A-Za-z_]+)"
    r" #?(?P<count>[\1]) ?(?:[:=]|is\b) ?(?P<value>[\1\2])"
)
_LEAGUE = re.compile(r"^\[(?P<count>[\1])\][\t ]+(?=[\w'-]+[:\s])")
"""XGBoost's and LightGBM's lines."""
_BAR = re.compile(
    r"(?:\d+%\|[^|]*\| *(?P<count>[\d.]+)(?P<unit>[kM]?)/[\d.]+[kMG]? *|(?P<many>\d+)it )"
    r"\[[^,\]]*,[^,\]]*(?:, *(?P<postfix>.*))?\]"
)
_COLUMN = re.compile(r"[A-Za-z_][\w/.%() -]{0,30}")
_SENTENCE = re.compile(r"(?:[A-Za-z]+ ){6}\($")
_BEST = re.compile(r"(?i)\bbest\b")
"""What follows tells of an earlier row: `best acc: 0.93 (epoch 4)`."""
_MARKS = frozenset("\1\2")
_UNITS = {"": 1, "k": 1000, "M": 1_000_000}
_CALL = re.compile(r"\b[A-Za-z_][\w.]*\([^()]*(?:\([^()]*\)[^()]*)*(?:\)|$)")
_COMPLAINT = re.compile(r"\b[A-Z]\w+(?:Warning|Error|Exception): ")
_SCALAR = re.compile(
    r"\b(?:np\.\w+|numpy\.\w+|tensor|Array|DeviceArray)\( *([-+\w.]+) *(?:,[^()]*)?\)"
)
"""`np.float64(0.5)`, `tensor(0.5, grad_fn=…)`."""
_QUOTED = re.compile(r"""(?<!\w)(['"])([A-Za-z_][^'"\n]{0,60})\1(?= ?[:=])""")
_NOISE = re.compile(
    r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[\w.]+:(?=\S)"  # as `logging` writes by default
    r"|\w+://\S+|\d{4}-\d\d-\d\d(?:[T"
    r" ]\d\d:\d\d:\d\d(?:[.,]\d+)?)?|\b\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?\b"
)
_NOT_JSON = re.compile(r"(?<=: )(-?)(nan|inf|None|True|False)\b")
_IN_JSON = {"nan": "NaN", "inf": "Infinity", "None": "null", "True": "true", "False": "false"}

Row = dict[str, float]
_Plan = tuple[tuple[str, int, int | None], ...]
"""Of each metric of a line: its name, which number of the line it is, and which one it is to be
divided by."""


@functools.lru_cache(maxsize=4096)
def is_counter(name: str) -> bool:
    """Whether a metric counts, as its last word says."""
    return name.rsplit("/", 1)[-1].rsplit(" ", 1)[-1].lower() in COUNTERS


class LineReader:
    """Reads lines into pairs, and remembers what lines of a shape mean."""

    def __init__(self) -> None:
        self._plans: dict[str, _Plan] = {}

    def pairs_of(self, line: str) -> Row:
        """Return the metrics of a line."""
        if "(" in line and ("tensor(" in line or "np." in line or "Array(" in line):
            line = _SCALAR.sub(r"\1", line)
        if line.startswith("{") and line.endswith("}"):
            return _of_object(line)
        if "it/s" in line or "s/it" in line or "%|" in line:
            return self._of_bar(line)
        return self._of_words(line)

    def _of_bar(self, line: str) -> Row:
        bar = _BAR.search(line)
        if bar is None:
            return self._of_words(line)
        row = {**self._of_words(line[: bar.start()]), **self._of_words(bar["postfix"] or "")}
        if all(map(is_counter, row)):
            return {}
        count = float(bar["many"] or bar["count"]) * _UNITS[bar["unit"] or ""]
        # A bar for each epoch counts its batches, and begins anew.
        return {("batch" if any(map(is_counter, row)) else "step"): count, **row}

    def _of_words(self, line: str) -> Row:
        if ":" in line or "/" in line:
            line = _NOISE.sub(" ", line)
        if "  " in line:
            line = re.sub(" {2,}", " ", line)
        if "'" in line or '"' in line:
            line = _QUOTED.sub(r"\2", line)
        parts = _NUMBER.split(line)
        numbers = parts[1::2]
        if not numbers:
            return {}
        parts[1::2] = ["\1" if _FRACTIONAL.isdisjoint(number) else "\2" for number in numbers]
        shape = "".join(parts)
        plan = self._plans.get(shape)
        if plan is None:
            plan = _plan(shape)
            if len(self._plans) < _MOST_SHAPES:
                self._plans[shape] = plan
        row: Row = {}
        for name, index, whole in plan:
            value = _value(numbers[index])
            row[name] = (
                value
                if whole is None or not _value(numbers[whole])
                else value / _value(numbers[whole])
            )
        return row


class Columns:
    """Reads rows of numbers below a line of names, one of which counts."""

    def __init__(self) -> None:
        self._line = ""
        self._names: list[str] = []

    def pairs_of(self, line: str) -> Row:
        """Return the metrics of a row; nothing for all other lines."""
        first = line[:1]
        if first.isalpha():
            self._line = line
            return {}
        if not first.isdigit():
            return {}
        if self._line:
            names = _fields(self._line)
            if (
                len(names) > 1
                and any(map(is_counter, names))
                and all(map(_COLUMN.fullmatch, names))
            ):
                self._names = names
            self._line = ""
        fields = _fields(line) if self._names else []
        if len(fields) != len(self._names):
            return {}
        numbers = {name: number_of(field) for name, field in zip(self._names, fields, strict=True)}
        row = {name: number for name, number in numbers.items() if number is not None}
        return row if len(row) * 2 > len(numbers) and any(map(is_counter, row)) else {}


def _fields(line: str) -> list[str]:
    if "," in line:
        return [field.strip() for field in line.split(",")]
    return [
        field
        for field in re.split(r"\t+| {2,}" if "\t" in line or "  " in line else " ", line)
        if field
    ]


def _value(number: str) -> float:
    return float(number.replace(",", "") if "," in number else number)


def _plan(shape: str) -> _Plan:
    if not _NEAR.search(shape) or _COMPLAINT.search(shape):
        return ()
    plan: dict[str, tuple[str, int, int | None]] = {}
    if league := _LEAGUE.match(shape):
        plan["iteration"] = ("iteration", 0, None)
        shape = (
            shape[: league.end("count")] + " ;" + shape[league.end("count") + 2 :]
        )  # no part of the first name
    if at := _AT.search(shape):
        counter = at["counter"]
        if is_counter(counter):
            values = {counter: at.start("count"), at["name"]: at.start("value")}
            return tuple(
                (name, _marks_before(shape, position), None) for name, position in values.items()
            )
    settings = [call.span() for call in _CALL.finditer(shape)] if "(" in shape else []
    for match in _PAIR.finditer(shape):
        name = _metric_name(match, shape)
        if name is None:
            continue
        if "=" in match["mark"] and any(begin < match.start() < end for begin, end in settings):
            continue
        index = _marks_before(shape, match.start("value"))
        counts = is_counter(match["name"]) and name == match["name"]
        # A counter is one in every line: `Epoch` of `Train Epoch`. Else 9913/10000 is a share.
        name = name.rsplit(" ", 1)[-1] if counts else name
        plan.setdefault(
            name, (name, index, None if counts or match["whole"] is None else index + 1)
        )
    return tuple(plan.values())


def _marks_before(shape: str, position: int) -> int:
    return shape.count("\1", 0, position) + shape.count("\2", 0, position)


def _metric_name(match: re.Match[str], shape: str) -> str | None:
    """Return the name of a metric: `epoch:3`, `loss:0.5`, `loss 0.5` are ones; `cuda:0`,
    `took 3 tries` are not."""
    name, mark, has_fraction = match["name"], match["mark"], match["value"] == "\2"
    before = shape[: match.start("name")].rstrip()
    words = name.split(" ")
    if before[-1:] in ("\1", "\2") and mark.strip() in (":", "="):
        # `Evaluation over 10 episodes: 200.2`
        head = re.split(r"[^\w /.@'-]", before[:-1])[-1].strip()
        if head.rpartition(" ")[2] in _BEFORE_A_COUNT:
            return _without_count(head) if is_counter(name) else f"{head} {name}"
    if is_counter(name):
        return (
            None if (mark == "" and _is_of_another(before, words)) or _BEST.search(before) else name
        )
    if words[-1].lower() in _NO_METRICS or (match["bracket"] and match["after"] not in ("]", ")")):
        return None
    if before[-1:] == "(" and _SENTENCE.search(before):
        return None
    if mark == "":
        return _name_before_blank(match, words, before)
    has_mark = "=" in mark or mark.endswith(" ") or has_fraction
    return name if has_mark and mark.strip() not in ("[", "(", "#") else None


def _name_before_blank(match: re.Match[str], words: list[str], before: str) -> str | None:
    """Return a name that only a blank parts from its number: that has a fraction, or stands apart
    from prose."""
    has_fraction = match["value"] == "\2"
    if words[-1] in ("is", "was") and len(words) > 1:
        return " ".join(words[:-1]) if has_fraction else None
    if words[-1].lower() in _PROSE:
        return None
    begins = before[-1:] in ("", "|", ",", ";", ":", ">", "*", ")", "]", "\1", "\2")
    apart = begins and match["after"] in ("", "|", ",", ";", "\t")
    single = len(words) == 1
    return match["name"] if (has_fraction and (single or apart)) or (single and apart) else None


def _without_count(head: str) -> str | None:
    words = head.split(" ")
    while words and words[-1] in _BEFORE_A_COUNT:
        words.pop()
    return " ".join(words) or None


def _is_of_another(before: str, words: Sequence[str]) -> bool:
    """Whether a counter tells of another row: `acc 0.9 at epoch 4`, `loaded from step 100`."""
    last = words[-2] if len(words) > 1 else before.rpartition(" ")[2]
    return last.lower() == "from" or (last == "at" and not _MARKS.isdisjoint(before))


def _of_object(line: str) -> Row:
    """Return the numbers of a line that is an object, as JSON or as Python prints a dict; nested
    ones by `/`."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        try:
            value = _of_python(line)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return {}
    return dict(_leaves(value, "")) if isinstance(value, dict) else {}


def _of_python(line: str) -> object:
    """Return what Python printed, by way of JSON where that is possible, which takes a fifth of the
    time."""
    if '"' not in line and "\\" not in line:
        text = _NOT_JSON.sub(lambda match: match[1] + _IN_JSON[match[2]], line.replace("'", '"'))
        try:
            return json.loads(text)
        except ValueError:
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of `1is`, in what is no Python
        return ast.literal_eval(re.sub(r"(?<=: )(-?(?:nan|inf))\b", r"'\1'", line))


def _leaves(value: Mapping[object, object], above: str) -> Iterator[tuple[str, float]]:
    for key, item in value.items():
        if isinstance(item, dict) and above.count("/") < MOST_DEPTH:
            yield from _leaves(item, f"{above}{key}/")
        elif isinstance(item, (int, float, str)) and str(key).lower() not in _NO_METRICS:
            # The Trainer prints its numbers as text: {'loss': '0.52', 'epoch': '1'}.
            number = number_of(item)
            if number is not None:
                yield f"{above}{key}", number


def number_of(value: str | float | None) -> float | None:
    """Return the number that a text or a value is, None where it is none, or too large for one."""
    try:
        return None if value is None else float(value)
    except (ValueError, OverflowError):
        return None
