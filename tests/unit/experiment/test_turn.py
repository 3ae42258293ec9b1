"""Several processes decide about one experiment, one after the other, whoever is killed when."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runslot.errors import Busy
from runslot.experiment.journal import read_events
from runslot.experiment.turn import TURN_LIMIT_S, SharedJournal, Turn, TurnLost

COUNTS = """
import sys, time
from pathlib import Path
from runslot.experiment.journal import JournalReader
from runslot.experiment.turn import SharedJournal

home, count = Path(sys.argv[1]), 0
journal, reader = SharedJournal(home / "turns", home / "journal"), JournalReader(home / "journal")
while not (home / "enough").exists():
    with journal.taken():
        for event in reader.read():
            count = event["count"]
        count += 1
        journal.write("counted", time.time(), count=count)
        journal.write("counted", time.time(), count=count)
"""


def counter(home: Path) -> subprocess.Popen[bytes]:
    """Start a process that counts on until there is a file `enough`."""
    return subprocess.Popen([sys.executable, "-c", COUNTS, str(home)])


def written(home: Path) -> list[int]:
    return [event["count"] for event in read_events(home / "journal")]


def test_processes_that_are_killed_at_random_count_on_without_a_gap(
    until: Callable[..., Any], tmp_path: Path
) -> None:
    """Each number is there twice, in order: no decision is lost, made twice, or half written."""
    chance = random.Random(7)
    processes = [counter(tmp_path) for _ in range(3)]
    for _ in range(12):
        lines = len(written(tmp_path)) + chance.randrange(2, 20)
        until(lambda lines=lines: len(written(tmp_path)) >= lines)
        time.sleep(chance.uniform(0, 0.05))
        place = chance.randrange(3)
        processes[place].kill()
        processes[place].wait()
        processes[place] = counter(tmp_path)
    (tmp_path / "enough").touch()
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]

    counts = written(tmp_path)
    assert counts == [number for count in range(1, counts[-1] + 1) for number in (count,) * 2]
    assert len(list((tmp_path / "turns").glob("0*"))) == 1, "no turn is left behind"


def test_a_holder_that_was_killed_is_followed_at_once(tmp_path: Path) -> None:
    """Its process is known to be dead: nobody waits for its age."""
    code = "import sys, time; from pathlib import Path; from runslot.experiment.turn import Turn\n"
    code += "home = Path(sys.argv[1])\n"
    code += (
        "with Turn(home / 'turns', home / 'journal').taken(): print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        mine = Turn(tmp_path / "turns", tmp_path / "journal")
        with pytest.raises(Busy, match=f"{holder.pid} on "), mine.taken(patience=0.1):
            pass
        holder.kill()
    with mine.taken(patience=5):
        assert mine.number == 2


def test_a_holder_elsewhere_is_followed_by_its_age_and_writes_nothing_any_more(
    tmp_path: Path,
) -> None:
    """Nobody can tell whether it lives: when it wakes, what it had decided is void."""
    slow = SharedJournal(tmp_path / "turns", tmp_path / "journal")
    quick = SharedJournal(tmp_path / "turns", tmp_path / "journal")
    with pytest.raises(TurnLost), slow.taken():  # noqa: PT012  what happens inside is the test
        slow.write("counted", time.time(), count=1)
        turn = tmp_path / "turns" / f"{slow.turn.number:08}"
        turn.write_text(json.dumps({**json.loads(turn.read_text()), "host": "elsewhere"}))
        with pytest.raises(Busy, match="on elsewhere"), quick.turn.taken(patience=0.1):
            pass
        long_ago = time.time() - TURN_LIMIT_S - 1
        os.utime(turn, (long_ago, long_ago))
        with quick.taken():
            quick.write("counted", time.time(), count=2)
    assert written(tmp_path) == [2]


def test_what_was_written_after_the_turn_was_lost_is_passed_over(tmp_path: Path) -> None:
    """Between the last look and the write a process may sleep for long."""
    lines = [
        {"time": 0.0, "event": "counted", "count": count, "turn": turn}
        for count, turn in ((1, 4), (2, 5), (3, 4), (4, 5), (5, 6))
    ]
    (tmp_path / "journal").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert written(tmp_path) == [1, 2, 4, 5]


def test_turns_go_on_where_their_directory_was_removed(tmp_path: Path) -> None:
    """Else what is written from then on would be passed over."""
    for count in (1, 2, 3):
        journal = SharedJournal(tmp_path / "turns", tmp_path / "journal")
        journal.write("counted", time.time(), count=count)
    for file in (tmp_path / "turns").iterdir():
        file.unlink()
    journal.write("counted", time.time(), count=4)
    assert written(tmp_path) == [1, 2, 3, 4]


def test_a_torn_line_is_cut_off_by_the_next_turn(tmp_path: Path) -> None:
    """A pilot was killed as it wrote."""
    journal = SharedJournal(tmp_path / "turns", tmp_path / "journal")
    journal.write("counted", time.time(), count=1)
    with (tmp_path / "journal").open("a") as file:
        file.write('{"time": 1.0, "event": "cou')
    journal.write("counted", time.time(), count=2)
    assert written(tmp_path) == [1, 2]
