"""The files of a logger after kills: of the process at random moments, and of the file at every
byte.
"""

from __future__ import annotations

import csv
import io
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runslot.logger import Logger
from runslot.logger.progress import complete_length

pytestmark = pytest.mark.fault

TRAIN = """
import sys
from runslot import logger
logger.configure(console="silent", async_snapshots=sys.argv[3] == "async")
logger.bind_run(sys.argv[1], resume=True)
for step in range(int(sys.argv[2]), 10**9):
    logger.record_dict({"step": step, "square": step * step, "text": "a,\\n" * (step % 3)})
    if step % 5 == 0:
        logger.record_tabular(f"new {step % 200}", step)
    logger.dump_tabular()
    print(step, flush=True)
    logger.save_itr_params(step, [step] * 20_000)
"""


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_no_row_that_was_dumped_is_lost_over_many_kills(tmp_path, mode):
    chance = random.Random(7)
    said = -1
    for _attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", TRAIN, tmp_path, str(said + 1), mode],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().splitlines()
        process.communicate()
        said = int(lines[-1]) if lines else said + 1
        with (tmp_path / "progress.csv").open(newline="") as file:
            length, _ = complete_length(tmp_path / "progress.csv")
            rows = read(file.read(length))
        steps = [int(row["step"]) for row in rows]
        assert set(range(said + 1)) <= set(steps)
        assert (
            len(steps) - len(set(steps)) <= _attempt
        )  # a kill between the row and the word makes one come again
        for row in rows:
            step = int(row["step"])
            assert row["square"] == str(step * step)
            assert row["text"] == "a,\n" * (step % 3)
            late = row.get(f"new {step % 200}")
            assert late is None or float(late) in {step} or late == "nan"
        values = (
            pickle.loads((tmp_path / "params.pkl").read_bytes())
            if (tmp_path / "params.pkl").exists()
            else [0]
        )
        assert len(set(values)) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b,", 'c"', "d\n"]), st.text('xy,"\r\n', max_size=4), min_size=1
        ),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_a_file_cut_at_any_byte_is_continued_with_its_whole_rows(tmp_path_factory, rows, data):
    directory = tmp_path_factory.mktemp("run")
    path = directory / "progress.csv"
    log = Logger()
    log.configure(console="silent")
    log.bind_run(directory)
    for row in rows:
        log.record_dict(row)
        log.dump_tabular()
    log.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    before = read(
        whole[:cut].decode()
    )  # a torn file is read, too, though its last row may be short
    os.truncate(path, cut)
    length, lines = complete_length(path)
    kept = read(whole[:length].decode())
    assert lines - bool(lines) == len(kept) <= len(before) + 1
    log.bind_run(directory)
    log.record_dict({"a": "after", "e": "new"})
    log.dump_tabular()
    log.close()
    after = read(path.read_bytes().decode())
    assert len(after) == len(kept) + 1
    for old, new in zip(kept, after, strict=False):
        assert new == {**old, **{key: "nan" for key in new if key not in old}}
    assert (after[-1]["a"], after[-1]["e"]) == ("after", "new")


def test_a_kill_while_a_column_is_added_leaves_the_file_whole(tmp_path):
    path = tmp_path / "progress.csv"
    body = "".join(f"{step},{step * 0.5}\n" for step in range(200_000))
    script = (
        "from runslot import logger; import sys; logger.bind_run(sys.argv[1]); print('ready',"
        " flush=True)\n" + "logger.record_dict({'step': -1, 'new': 1}); logger.dump_tabular()"
    )
    chance = random.Random(3)
    outcomes = set()
    for _ in range(12):
        path.write_text("step,half\n" + body)
        process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random() * 0.15)
        process.kill()
        process.communicate()
        lines = path.read_text().splitlines()
        widened = lines[0] == "step,half,new"
        outcomes.add(widened)
        assert widened or lines[0] == "step,half"
        assert len(lines) - 200_001 in ({0, 1} if widened else {0})
        assert lines[200_000].startswith("199999,99999.5")
    assert _leftovers(tmp_path) <= {".progress.csv.wider"}


def _leftovers(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir() if "progress" in entry.name} - {
        "progress.csv"
    }
