"""Metrics in what a run printed, for scripts that know nothing of runslot: a console's text becomes
rows.

Read in place, when results are asked for: it costs the run nothing, and nothing of it can harm the
run. Pure: the caller reads the file, and takes these rows only where the run logged in no better
way. Understood are

- pairs `name: 1.2`, `name=1.2`, `Epoch [3/10]`, `step 100`, several a line, after any prefix of a
  logging library;
- a line that is a JSON object, or a Python dict as Hugging Face's Trainer prints it;
- progress bars of tqdm (`loss=0.5` in the postfix, the bar's counter as `step`, or `batch` in an
  epoch) and of Keras;
- the framed tables of OpenAI Baselines, Stable-Baselines3 and Lightning;
- columns below a line of their names, one of which counts (skorch, fastai, `epoch,loss` and its
  rows).

What one line says is in `formats.printed_line`. Lines that follow one another make one row as long
as no name comes twice and no counter (epoch, step, …) changes. What is printed before the numbers
of the run begin, once, is a setting (`batch_size: 64`, `Total params: 1,234`), and so is what has
the name and the value of a hyperparameter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from runslot.results.formats.printed_line import Columns, LineReader, Row, is_counter, number_of

MOST_IN_LINE = 4000
"""Characters of a line that are looked at."""
MOST_DRAWN = 1000
"""How often one progress bar is looked at; it draws itself over ten times a second."""
MOST_NAMES = 400
"""Different names in one console; what prints more prints no metrics."""
_RARE = 5
"""What comes so many times less often than a run's commonest metric, before that begins, may be a
setting."""
_MOST_OF_SETTING = 2

_TABLE_ROW = re.compile(r"^\|\s+(?P<name>[A-Za-z_][\w/ .-]*?)\s+\|\s+(?P<value>\S+)\s+\|$")
_TABLE_HEAD = re.compile(r"^\|\s+(?P<head>[\w.-]+/)\s+\|\s+\|$")
_CONTROLS = re.compile(r"[\x00-\x1f]")  # \1 and \2 among them, which stand for numbers below
_COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def printed_rows(
    text: str, pattern: re.Pattern[str] | None = None, settings: Mapping[str, object] | None = None
) -> list[Row]:
    """Return the rows that `text` has, in order; `pattern` is used instead of all that is
    understood by itself.

    `settings` are the run's hyperparameters, which scripts print beside their metrics.
    """
    rows: list[Row] = []
    row: Row = {}
    last: dict[str, int] = {}
    first: dict[str, int] = {}
    for line, pairs in enumerate(_pairs(text, pattern)):
        if _begins_row(row, pairs):
            rows.append(row)
            row = {}
        row.update(pairs)
        for name in pairs:
            last[name] = line
        if len(last) != len(first):
            first = {name: first.get(name, line) for name in last}
            if len(first) > MOST_NAMES:
                return []
    if row:
        rows.append(row)
    if pattern is None:
        void = _settings_before(rows, first, last) | _settings_printed(rows, settings or {})
        rows = (
            [{name: row[name] for name in row if name not in void} for row in rows]
            if void
            else rows
        )
    return _with_counters([row for row in rows if row])


def _begins_row(row: Row, pairs: Row) -> bool:
    """Whether a line begins a new row: a metric comes again, a counter changes or is new, or stands
    alone."""
    new = has_metrics = False
    for name, value in pairs.items():
        if not is_counter(name):
            has_metrics = True
            if name in row:
                return True
        elif name not in row:
            new = True
        elif row[name] != value:
            return True
    return (new or not has_metrics) and not all(map(is_counter, row))


def _settings_before(
    rows: Sequence[Row], first: Mapping[str, int], last: Mapping[str, int]
) -> set[str]:
    """Return the names that come rarely, and only in lines before the run's numbers begin."""
    counts = Counter(name for row in rows for name in row)
    most = max((count for name, count in counts.items() if not is_counter(name)), default=0)
    begin = min(
        (first[name] for name, count in counts.items() if count > 1 and count * 2 >= most),
        default=0,
    )
    limit = min(_MOST_OF_SETTING, max(1, most // _RARE))
    rare = {name for name, count in counts.items() if count <= limit and last[name] < begin}
    return {name for name in rare if not is_counter(name) or name.endswith("s")}


def _settings_printed(rows: Sequence[Row], settings: Mapping[str, object]) -> set[str]:
    """Return the names of hyperparameters that have no other value than the run's in any row."""
    same = {name for name, value in settings.items() if isinstance(value, (int, float))}
    return {
        name
        for name in same
        if all(row.get(name, settings[name]) == settings[name] for row in rows)
    }


def _with_counters(rows: Sequence[Row]) -> list[Row]:
    """Carry counters on to rows that lack them, as the steps of an epoch that is named once, in a
    line of its own."""
    last: Row = {}
    whole = []
    for row in rows:
        last |= {name: value for name, value in row.items() if is_counter(name)}
        if not all(map(is_counter, row)):
            whole.append({**last, **row})
    return whole


def _pairs(text: str, pattern: re.Pattern[str] | None) -> Iterator[Row]:
    """Yield what each line, and each table, has."""
    reader, columns = LineReader(), Columns()
    head, table = "", Row()
    for line in _lines(text):
        if pattern is not None:
            pairs = _by_pattern(line, pattern)
        elif line.startswith("| ") and line.endswith(" |"):
            if heading := _TABLE_HEAD.match(line):
                head = heading["head"]
            elif (entry := _TABLE_ROW.match(line)) and (
                number := number_of(entry["value"])
            ) is not None:
                table[head + entry["name"].strip()] = number
            continue
        else:
            if table:
                yield table
                head, table = "", Row()
            pairs = columns.pairs_of(line) or reader.pairs_of(line)
        if pairs:
            yield pairs
    if table:
        yield table


def _lines(text: str) -> Iterator[str]:
    """Yield the lines without what is there for a terminal; a progress bar is one for each time it
    was drawn."""
    for match in re.finditer(r"[^\n]+", text):
        parts = [match[0]]
        if "\r" in match[0]:
            parts = [part for part in match[0].split("\r") if part]
            stride = len(parts) // MOST_DRAWN + 1
            parts = parts[::-1][::stride][::-1]  # the last among them
        for part in parts:
            line = part[:MOST_IN_LINE].strip()
            if not line.isprintable():
                line = _CONTROLS.sub(" ", _COLORS.sub("", line)).strip()
            if line[:1] in ("│", "┃"):
                line = line.replace("│", "|").replace("┃", "|")
            yield line


def _by_pattern(line: str, pattern: re.Pattern[str]) -> Row:
    row: Row = {}
    for match in pattern.finditer(line):
        groups = match.groupdict()
        if "name" in groups and "value" in groups:
            groups = {groups["name"]: groups["value"]}
        row |= {
            name: value for name, text in groups.items() if (value := number_of(text)) is not None
        }
    return row
