"""The lines of the live table, fitted to a terminal of any size. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from runslot.cli.render.board import Board, RunningRun, WaitingRun
from runslot.cli.render.table import row_text
from runslot.record import record

Rows = Mapping[str, Mapping[str, str] | str]
"""By run id, the last row of its `progress.csv`; of a run that has none, the last line that it
printed.
"""

_TIME = 7
_LEAST_SAID = 16
"""Columns that a run's last row needs to be worth showing."""
_LEAST_BAR = 8
_LONGEST_BAR = 48
_LEAST_HEIGHT_OF_LEADER, _LEADER_LINES = 12, 2


def draw(
    board: Board, rows: Rows, width: int, height: int, now: float, leader: str = ""
) -> Iterator[Text]:
    """Yield the lines of the table, at most `height - 1`: a row a slot, an empty line, the bar, who
    leads so far where there is room; `now` is Unix time.
    """
    if not board.total:
        return
    if height > 8:
        yield Text()
    search = board.search[: max(0, height - 10)]
    has_room = height > _LEAST_HEIGHT_OF_LEADER and not search  # which says who is best itself
    lines = _leader(leader, width) if has_room else []
    room = max(1, height - 5 - len(search) - len(lines))
    yield from _slots(board, rows, width, room, now)
    if height > 8:
        yield Text()
    for line in search:
        yield Text(_fit(f"  {line}", width), no_wrap=True, overflow="crop")
    yield _summary(board, width, now)
    yield from lines


def _leader(words: str, width: int) -> list[Text]:
    """Return the sentence of who leads in at most two lines."""
    if not words:
        return []
    lines = textwrap.wrap(f"so far: {words}", max(_LEAST_SAID, width - 2))
    if len(lines) > _LEADER_LINES:
        lines = [*lines[: _LEADER_LINES - 1], " ".join(lines[_LEADER_LINES - 1 :])]
    return [Text(f"  {_fit(line, width - 2)}", style="dim", no_wrap=True) for line in lines]


def _slots(board: Board, rows: Rows, width: int, room: int, now: float) -> Iterator[Text]:
    busy: list[RunningRun | WaitingRun] = [*board.running.values()]
    busy += [row for row in board.waiting.values() if row.run.id not in board.running]
    busy.sort(key=lambda row: (row.slot is None, row.slot or 0))
    busy_slots = {row.slot for row in busy}
    free = [slot for slot in board.slots if slot not in busy_slots]
    lines: Sequence[RunningRun | WaitingRun | int] = [*busy, *free]
    if len(lines) <= room:
        lines = sorted(lines, key=_place)
    columns = _Columns.fitting(board, width)
    visible_lines = lines if len(lines) <= room else lines[: room - 1]
    for row in visible_lines:
        if isinstance(row, RunningRun):
            again = f"attempt {row.attempt}  " if row.attempt > 1 else ""
            text = again + row_text(rows.get(row.run.id, {}), columns.row_width - len(again))
            yield columns.line(row.slot, row.run.directory, clock(now - row.started), text)
        elif isinstance(row, WaitingRun):
            yield columns.line(row.slot, row.run.directory, "", row.by, "yellow")
        else:
            yield columns.line(row, "idle", "", "", "dim")
    if len(visible_lines) < len(lines):
        running = sum(isinstance(row, RunningRun) for row in lines[len(visible_lines) :])
        yield Text(
            _fit(f"  … {running} more runs in {len(lines) - len(visible_lines)} more slots", width),
            style="dim",
        )


def _place(row: RunningRun | WaitingRun | int) -> tuple[bool, int]:
    slot = row if isinstance(row, int) else row.slot
    return slot is None, slot or 0


@record
class _Columns:
    """Widths that stay the same while the launch goes on, so that nothing jumps."""

    slot: int
    name: int
    row_width: int
    """0 where there is no room for a run's last row."""
    width: int

    @classmethod
    def fitting(cls, board: Board, width: int) -> _Columns:
        """Share the width out: names as wide as they are, but at least half of what is left for the
        last rows.
        """
        slot = max([len(str(index)) for index in board.slots], default=1)
        room = max(1, width - 2 - slot - 2 - 2 - _TIME)
        name = min(board.longest, room)
        if room - 2 - name < _LEAST_SAID:
            name = min(name, max(_LEAST_SAID, room * 3 // 5))
        last_row = room - 2 - name
        return (
            cls(slot, name, last_row, width)
            if last_row >= _LEAST_SAID
            else cls(slot, min(board.longest, room), 0, width)
        )

    def line(self, slot: int | None, name: str, time: str, last_row: str, style: str = "") -> Text:
        """Return one row, no wider than the terminal."""
        index = "·" if slot is None else str(slot)
        text = Text(no_wrap=True, overflow="crop", style=style)
        text.append(f"  {index:>{self.slot}}  ", style=style or "dim")
        text.append(set_cell_size(shortened(name, self.name), self.name))
        text.append(f"  {time:>{_TIME}}", style=style or "cyan")
        if self.row_width and last_row:
            text.append(f"  {_fit(last_row, self.row_width)}", style=style or "dim")
        text.truncate(self.width)
        return text


def _summary(board: Board, width: int, now: float) -> Text:
    """Return the bar with what is done, what failed, and how long it takes."""
    parts = [(f"{board.done}/{board.total}", "bold")]
    if board.failed:
        parts.append((f"{board.failed} failed", "red"))
    if board.halted:
        parts.append((f"{len(board.halted)} pruned", "blue"))
    if board.stopped or board.dropped:
        parts.append((f"{board.stopped + board.dropped} stopped", "yellow"))
    parts.append((clock(now - board.started), ""))
    if board.stopping is not None:
        again = (
            "killing them"
            if board.stopping.kill
            else f"Ctrl-C again kills; they have {board.stopping.grace:g} s"
        )
        parts.append((f"stopping {len(board.running)}: {again}", "yellow"))
    elif (remaining := board.left(now)) is not None and remaining >= 1 and board.done < board.total:
        parts.append((f"about {clock(remaining)} left", "cyan"))
    numbers = Text("  ").join(Text(text, style=style) for text, style in parts)
    room = width - 4 - numbers.cell_len
    line = Text("  ", no_wrap=True, overflow="crop")
    if room >= _LEAST_BAR:
        line.append_text(_bar(board, min(room, _LONGEST_BAR)))
        line.append("  ")
    line.append_text(numbers)
    line.truncate(width)
    return line


def _bar(board: Board, width: int) -> Text:
    """Return a bar of what succeeded, went wrong, runs, and is left; no kind that there is gets no
    column.
    """
    stopped = board.stopped + board.dropped
    parts = [
        (board.succeeded, "green"),
        (board.failed, "red"),
        (len(board.halted), "blue"),
        (stopped, "yellow"),
        (len(board.running), "cyan"),
    ]
    bar = Text()
    before = used = 0
    for count, style in parts:
        before += count
        end = max(round(width * before / board.total), used + 1) if count else used
        bar.append("━" * (min(end, width) - used), style=style)
        used = min(end, width)
    bar.append("━" * (width - used), style="bright_black")
    return bar


def clock(seconds: float) -> str:
    """Return a length of time in at most seven characters: `0:07`, `12:31`, `2:05:00`, `3d 04h`."""
    whole = max(0, int(seconds))
    if whole >= 100 * 3600:
        return f"{whole // 86400}d {whole // 3600 % 24:02}h"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def shortened(text: str, width: int) -> str:
    """Return text in at most `width` columns, its middle left out: both what varies and the seed
    stay in sight.
    """
    if cell_len(text) <= width:
        return text
    if width < 3:
        return _fit(text, width)
    tail = text[len(text) - width // 3 :]
    while cell_len(tail) > width // 3:  # wide characters
        tail = tail[1:]
    return _fit(text, width - cell_len(tail)) + tail


def _fit(text: str, width: int) -> str:
    return (
        text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"
    )
