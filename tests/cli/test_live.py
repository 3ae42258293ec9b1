"""The live table: what it shows on terminals of any size, and in a real pseudo-terminal while a
sweep runs.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runslot.cli.render.board import Board
from runslot.cli.render.leader import Leader
from runslot.cli.render.live_table import clock, draw, shortened
from runslot.cli.render.table import row_text
from runslot.cli.render.tails import RunTail, Tail, last_lines
from runslot.engines.events import (
    LaunchStarted,
    RunDropped,
    RunEnded,
    RunStarted,
    RunWaits,
    StopNoted,
)
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.status import time_left
from runslot.hardware.slots import Slot

NOW = 1_000_000.0


def run_of(number: int, name: str = "lr=0.1,hidden=32") -> Run:
    return Run(str(number), name, {}, f"{name}/run_{number}", seed=number)


def launched(runs: int, slots: int, name: str = "lr=0.1,hidden=32") -> tuple[Board, list[Run]]:
    board = Board()
    all_runs = [run_of(number, name) for number in range(runs)]
    cut = tuple(Slot("host", index, (), ()) for index in range(slots))
    board.note(LaunchStarted("sac", Path("/x"), tuple(all_runs), 0, cut, ""), NOW)
    return board, all_runs


def start(board: Board, run: Run, slot: int, attempt: int = 1) -> None:
    board.note(RunStarted(run, Path("/x"), attempt, slot), NOW)


def end(
    board: Board, run: Run, kind: str = "succeeded", seconds: float = 10.0, retry: bool = False
) -> None:
    board.note(
        RunEnded(run, Path("/x"), Outcome(kind, 1, started=NOW, ended=NOW + seconds), retry), NOW
    )


def lines(board: Board, width: int = 80, height: int = 24, rows=None) -> list[str]:
    return [line.plain for line in draw(board, rows or {}, width, height, NOW + 5)]


# ---- what it shows -------------------------------------------------------------------------------


def test_a_row_a_slot_with_its_run_its_time_and_its_last_row():
    board, runs = launched(5, 3)
    start(board, runs[0], 0)
    start(board, runs[1], 2, attempt=2)

    shown = lines(
        board,
        rows={"0": {"loss": "0.25", "epoch": "4", "time/s": "9", "gap": "nan", "accuracy": "0.94"}},
    )

    assert [line.split() for line in shown if line.strip()][:3] == [
        [
            "0",
            "lr=0.1,hidden=32/run_0",
            "0:05",
            "epoch",
            "4",
            "accuracy",
            "0.94",
            "loss",
            "0.25",
            "s",
            "9",
        ],
        ["1", "idle"],
        ["2", "lr=0.1,hidden=32/run_1", "0:05", "attempt", "2"],
    ]
    assert "0/5" in shown[-1]


def test_who_leads_stands_below_the_bar_where_there_is_room():
    board, runs = launched(5, 3)
    start(board, runs[0], 0)
    words = "lr=0.01, hidden=64 leads with accuracy 0.9733; not separable from 4 others at n = 3."
    for width, height in ((80, 24), (40, 24), (80, 13), (20, 14)):
        shown = [line.plain for line in draw(board, {}, width, height, NOW + 5, words)]
        text = " ".join(line.strip() for line in shown)
        assert "so far: lr=0.01" in text
        assert max(map(cell_len, shown)) <= width
        assert len(shown) < height
    assert "not separable from 4 others" in " ".join(
        line.plain.strip() for line in draw(board, {}, 80, 24, NOW + 5, words)
    )
    assert "so far" not in "".join(line.plain for line in draw(board, {}, 80, 9, NOW, words))


def test_who_leads_is_looked_up_beside_the_launch_once_runs_have_ended(runslot):
    runslot("run", "train.py:train", "--grid", "lr=0.1,0.2", "--seeds", "3", "-q")
    home = (runslot.root / "train" / "latest").resolve()
    runs = ExperimentDir(home).read_runs()
    leader = Leader()
    leader.note(LaunchStarted("train", home, tuple(runs), 0, (), ""))
    assert leader.words(NOW) == ""
    for run in runs:
        leader.note(RunEnded(run, home / run.directory, Outcome("succeeded", 1), False))
    until = time.monotonic() + 60
    try:
        while not (words := leader.words(NOW)) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        leader.close()
    assert words.startswith("lr=0.1 leads with loss")


def test_the_bar_counts_what_ended_and_says_how_long_it_still_takes():
    board, runs = launched(10, 2)
    for number, kind in enumerate(["succeeded", "failed", "timed_out", "lost", "stopped"]):
        start(board, runs[number], 0)
        end(board, runs[number], kind)
    start(board, runs[5], 0)
    end(board, runs[5], "failed", retry=True)
    board.note(RunDropped(runs[9], "stopped"), NOW)

    last = lines(board)[-1]

    assert "6/10" in last
    assert "3 failed" in last
    assert "2 stopped" in last
    assert "about 0:20 left" in last  # 4 runs of 10 s in 2 slots


def test_who_holds_a_slot_is_named_until_the_run_starts():
    board, runs = launched(2, 1)
    board.note(RunWaits(runs[0], 0, "waits for GPU 0: held by alice"), NOW)
    assert any("held by alice" in line and runs[0].directory in line for line in lines(board))

    start(board, runs[0], 0)
    assert not any("alice" in line for line in lines(board))


def test_a_stop_is_shown_with_what_a_second_one_does():
    board, runs = launched(2, 1)
    start(board, runs[0], 0)
    board.note(StopNoted(kill=False, running=1, grace=10.0), NOW)

    assert "stopping 1: Ctrl-C again kills; they have 10 s" in lines(board, 120)[-1]


def test_more_slots_than_lines_are_counted():
    board, runs = launched(100, 64)
    for slot in range(60):
        start(board, runs[slot], slot)

    shown = lines(board, 80, 24)

    assert len(shown) < 24
    assert "42 more runs in 46 more slots" in shown[-3]


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 60),
    slots=st.integers(1, 70),
    busy=st.integers(0, 70),
    name=st.text(
        st.characters(codec="utf-8", exclude_categories=("C", "Z", "M")), min_size=1, max_size=120
    ),
    done=st.integers(0, 50),
)
def test_it_fits_any_terminal(width, height, slots, busy, name, done):
    board, runs = launched(130, slots, name)
    for number in range(min(slots, busy)):
        start(board, runs[number], number, attempt=1 + number % 2)
    for number in range(80, 80 + done):
        start(board, runs[number], 0)
        end(board, runs[number], "failed" if number % 3 else "succeeded")

    shown = lines(board, width, height, {"0": {"epoch": "3", "loss": "1" * 50}})

    assert all(cell_len(line) <= width for line in shown)
    assert len(shown) <= max(2, height - 1)


@given(st.text(max_size=60), st.integers(1, 40))
def test_a_shortened_name_fits_and_keeps_its_ends(text, width):
    short = shortened(text, width)

    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text


def test_time_left():
    assert time_left([], [1.0], 5, 2) is None
    assert time_left([10.0], [4.0, 0.0], 0, 2) == 10.0, "the last one decides"
    assert time_left([10.0, 20.0], [15.0, 15.0], 4, 2) == 30.0
    assert time_left([10.0], [99.0], 0, 4) == 0.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0:00"),
        (67, "1:07"),
        (3599, "59:59"),
        (7500, "2:05:00"),
        (99 * 3600, "99:00:00"),
        (360000, "4d 04h"),
    ],
)
def test_clock(seconds, said):
    assert clock(seconds) == said


def test_numbers_are_short_and_a_row_is_cut_at_whole_cells():
    row = {"epoch": "3.0", "loss": "0.123456789", "name": "a b", "big": "123456789"}
    assert row_text(row) == "epoch 3  loss 0.1235  name a b  big 123456789"
    assert row_text(row, 30) == "epoch 3  loss 0.1235  name a b"
    assert row_text(row, 29) == "epoch 3  loss 0.1235"


# ---- the files it looks at -----------------------------------------------------------------------


def test_the_last_whole_row_of_a_file_that_grows(tmp_path):
    path = tmp_path / "progress.csv"
    tail = Tail(path)
    assert tail.row() == {}
    with path.open("w") as file:
        for text, row in [
            ("a,b\n", {}),
            ("1,2\n", {"a": "1", "b": "2"}),
            ("3,", {"a": "1", "b": "2"}),
            ('"x,y"\n', {"a": "3", "b": "x,y"}),
            ("5,6\n" * 20000, {"a": "5", "b": "6"}),
        ]:
            file.write(text)
            file.flush()
            assert tail.row() == row
    path.write_text("a,b,c\n1,2,3\n")
    assert tail.row() == {"a": "1", "b": "2", "c": "3"}


def test_a_run_that_logs_no_rows_shows_the_last_line_that_it_printed(tmp_path):
    tail = RunTail.of(RunDir(tmp_path))
    assert row_text(tail.row_or_line(), 20) == ""
    with (tmp_path / "console.log").open("w") as console:
        for line, text in [
            ("loading the data\n", "loading the data"),
            (
                "epoch 3  loss: 0.25\r\x1b[2Kepoch 4  loss: 0.125, accuracy: 0.75\n",
                "epoch 4  loss: 0.125",
            ),
        ]:
            console.write(line)
            console.flush()
            assert row_text(tail.row_or_line(), 20) == text
    (tmp_path / "progress.csv").write_text("loss\n0.5\n")
    assert row_text(tail.row_or_line(), 20) == "loss 0.5"


def test_the_last_lines_of_a_console_move_no_cursor(tmp_path):
    path = tmp_path / "console.log"
    path.write_bytes(
        b"first\n" * 10000
        + b"\x1b[31mred\x1b[0m \x1b]0;title\x07end\n\n10%\r50%\r100%\nlast\x07\xff\n"
    )

    assert last_lines(path, 3) == ["red end", "100%", "last\ufffd"]
    assert last_lines(tmp_path / "none", 3) == []


# ---- a real terminal -----------------------------------------------------------------------------


class Terminal:
    """A program in a pseudo-terminal, and what its screen shows."""

    def __init__(self, arguments: list[str], directory: Path, columns: int, rows: int) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            arguments, cwd=directory, stdin=follower, stdout=follower, stderr=follower, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(follower)

    def read(self, seconds: float) -> bool:
        """Take what the program writes, for so long; tell whether it still may write."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._leader], [], [], left)[0]:
                return True
            try:
                data = os.read(self._leader, 65536)
            except OSError:  # the last process closed its end
                return False
            self._stream.feed(data)
        return True

    def until(self, *texts: str) -> list[str]:
        """Return the screen once it shows all of these, each in a line."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            alive = self.read(0.1)
            shown = [line.rstrip() for line in self.screen.display]
            if all(any(text in line for line in shown) for text in texts):
                return shown
            assert alive, "\n".join(shown)
        raise AssertionError("\n".join(self.screen.display))

    def end(self) -> list[str]:
        """Return the screen as the program leaves it."""
        assert not self.read(60), "\n".join(self.screen.display)
        return [line.rstrip() for line in self.screen.display]

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._leader)


@pytest.fixture
def terminal(runslot):
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, columns: int = 80, rows: int = 24) -> Terminal:
        command = [sys.executable, "-m", "runslot", *arguments]
        opened.append(Terminal(command, runslot.directory, columns, rows))
        return opened[-1]

    yield open_terminal
    (runslot.directory / "go").touch()
    for each in opened:
        each.close()


SLOW = """
from pathlib import Path
import time
from runslot import logger

def train(variant):
    logger.record_dict({"epoch": 3, "loss": 0.25})
    logger.dump_tabular()
    if variant["lr"] > 1:
        print("bad luck")
        raise ValueError("the loss is nan")
    while not Path("go").exists():
        time.sleep(0.02)
"""


def test_a_sweep_in_a_terminal_of_80_by_24(runslot, terminal):
    (runslot.directory / "slow.py").write_text(SLOW)

    view = terminal(
        "run", "slow.py:train", "--grid", "lr=10,0.1", "--seeds", "2", "--cpus-per-run", "1"
    )
    # both with 10 have failed, and one of the others has logged
    shown = view.until("2/4", "lr=0.1/run_0", "epoch 3  loss 0.25", "│ ValueError: the loss is nan")

    assert shown[0].startswith("slow: 4 runs in ")
    assert shown[1].startswith("runs/slow/2")
    failure = next(i for i, line in enumerate(shown) if line.startswith("failed lr=10/run_0"))
    bar = next(i for i, line in enumerate(shown) if "/4  " in line)
    row = next(
        i for i, line in enumerate(shown) if "lr=0.1/run_" in line and "epoch 3  loss 0.25" in line
    )
    assert failure < row < bar, "\n".join(shown)
    assert "  │ ValueError: the loss is nan" in shown
    assert shown[row].split()[0].isdigit()
    assert "failed" in shown[bar]

    (runslot.directory / "go").touch()
    view.until("to run just these again:")
    shown = view.end()
    assert view.process.wait() == 1
    assert not any("━" in line and "/4" in line for line in shown), (
        "the table is gone when it is over"
    )
    assert any("2 variants, 4 runs · loss, lower is better" in line for line in shown)
    assert not view.screen.cursor.hidden


def test_a_narrow_and_short_terminal(runslot, terminal):
    (runslot.directory / "slow.py").write_text(SLOW)

    view = terminal("run", "slow.py:train", "--grid", "lr=0.1", "--seeds", "3", columns=34, rows=8)

    view.until("0/3", "lr=0.1/run_0")


def test_ctrl_c_on_the_terminal(runslot, terminal):
    (runslot.directory / "slow.py").write_text(SLOW)
    view = terminal("run", "slow.py:train", "--grid", "lr=0.1", "--seeds", "9")
    view.until("epoch 3")

    view.process.send_signal(signal.SIGINT)

    view.until("to run what is missing:")
    view.end()
    assert view.process.wait() == 130
    assert not view.screen.cursor.hidden
