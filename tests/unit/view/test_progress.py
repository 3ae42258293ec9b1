"""What the page says beside the answer: what a run used, why runs wait, when it is worth to look again."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("dash", reason="the page needs runslot[view]")

from runslot.engines.registry import Refresher
from runslot.view.data.choices import Choices
from runslot.view.web.answer import document
from runslot.view.web.app import make_app
from runslot.view.web.guard import guard_for
from runslot.view.web.live_runs import LiveRuns, Moment
from runslot.view.web.texts import Texts
from runslot.view.web.usage import usage_figures, usage_words

SYSTEM = (
    "seconds,cpus,memory,gpu_memory,gpu_percent\n2.0,1.0,1048576,,\n4.0,3.0,3221225472,,\n5.0,x"
)


def test_what_a_run_used_comes_from_its_looks_and_from_its_outcome(tmp_path: Path) -> None:
    texts = Texts([str(tmp_path)])
    assert usage_words(tmp_path, texts) == {}
    (tmp_path / "system.csv").write_text(SYSTEM)
    figures = usage_figures(tmp_path, texts)
    assert list(figures) == ["cores used", "memory, GiB"]
    values = [list(trace["y"]) for trace in figures["cores used"]["data"] if len(trace["y"]) > 1]
    assert values[0] == [1.0, 3.0]
    used = {"looks": 2, "cpus": 2.0, "memory": 3 * 2**30, "gpu_percent": 31.0}
    used |= {"gpu_memory": 6 * 2**30, "gpu_total": 24 * 2**30}
    outcome = {"format": 1, "kind": "succeeded", "used": used}
    (tmp_path / "outcome.json").write_text(json.dumps(outcome))
    assert usage_words(tmp_path, texts) == {
        "cores": "2.00 in the mean",
        "memory": "3.0 GiB at its peak, all processes",
        "GPU busy": "31 % of the time",
        "GPU memory": "6.0 GiB of 24.0 GiB",
    }
    (tmp_path / "outcome.json").write_text('{"used": {"looks": "many"}')
    assert usage_words(tmp_path, texts) == {}  # damaged, and so is the last row


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """Run two runs, and make of one of them a run that nobody has started yet."""
    program = f"{sys.executable} -c 'print(1)'"
    root = tmp_path / "runs"
    words = ["run", "--name", "digits", "--grid", "lr=1,2", "--root", str(root), "-q", "--"]
    command = [sys.executable, "-m", "runslot", *words, *shlex.split(program)]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=100)
    (home,) = (file.parent for file in root.glob("digits/2*/experiment.json"))
    (run,) = (file.parent for file in home.glob("lr=2/**/run.json"))
    gone = json.loads((run / "run.json").read_text())["run"]["id"]
    shutil.rmtree(home / "lr=2")
    journal = home / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if f'"{gone}"' not in line))
    return home


def test_the_page_says_why_runs_wait(waiting: Path) -> None:
    refresher = Refresher([waiting])
    refresher.look()
    end = time.monotonic() + 60
    while not refresher.waits and time.monotonic() < end:
        time.sleep(0.02)
    name = waiting.name
    words = f"1 run waits, and no launcher of {name} is at work; `runslot resume` goes on"
    assert refresher.waits == (words,)
    results = LiveRuns([waiting], cache=False).now().results
    moment = Moment(1, results, refresher.waits)
    page = document(moment, Choices(), "", Texts([str(waiting)]))
    assert page["live"]["waits"] == [words]
    assert page["live"]["queued"] == 1


def test_a_page_is_told_when_it_is_worth_to_look_again(runs: Path) -> None:
    live = LiveRuns([runs], cache=False)
    guard = guard_for("127.0.0.1", 8050, (), token=False)
    browser = make_app(live, guard).server.test_client()
    answer = browser.get("/version", base_url="http://127.0.0.1:8050").json
    assert answer["version"] == live.now().version
    assert not answer["is_live"]
    assert 1.0 <= answer["rest_s"] <= 120.0
    query = f"/answer.json?since={answer['version']}"
    unchanged = browser.get(query, base_url="http://127.0.0.1:8050")
    assert unchanged.status_code == 204
    assert float(unchanged.headers["Runslot-Rest"]) >= 1.0


def test_how_many_runs_were_read_is_told_while_they_are_read(
    tmp_path: Path, write_run: Callable[..., Path]
) -> None:
    for number in range(60):
        rows = {"step": list(range(50)), "score": [number] * 50}
        root = write_run(f"lr={number}/run_0", {"lr": number}, rows).parents[1]
    runs = LiveRuns([root], cache=False)
    client = make_app(runs, guard_for("127.0.0.1", 8050, [], token=False)).server.test_client()
    headers = {"Host": "127.0.0.1:8050"}
    assert client.get("/reading.json", headers=headers).json == {
        "total": None,
        "described": 0,
        "read": 0,
    }
    reads = []
    reading = threading.Thread(target=runs.now)
    reading.start()
    while reading.is_alive():
        reads.append(runs.progress("").read)
    reading.join()
    assert reads == sorted(reads)
    told = client.get("/reading.json", headers=headers).json
    assert told == {"total": 60, "described": 60, "read": 60}
    guarded = make_app(runs, guard_for("127.0.0.1", 8050, [], token=True)).server.test_client()
    assert guarded.get("/reading.json", headers=headers).status_code == 401
