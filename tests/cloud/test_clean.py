"""What an experiment has in its bucket is deleted when all is home, and the experiment goes on
without it.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runslot.transport.bucket import open_store

# slow: grouped with those of the other launchers; the limit is for what hangs
pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

STAND_IN = Path(__file__).parent / "sky_stand_in"

TRAIN = """
import os, time
from pathlib import Path
from runslot import logger

def train(variant):
    logger.record_tabular("Loss", variant["lr"])
    logger.dump_tabular()
    mended = Path(os.environ["MENDED"])
    while mended.with_name("held").exists():
        time.sleep(0.05)
    if variant["lr"] > 0.2 and not mended.exists():
        raise ValueError("not yet")
"""


class Place:
    """A project with a launcher of the stand-in's machines and a bucket."""

    def __init__(self, path: Path, bucket: str) -> None:
        self.path = path
        self.machines = path / "stand-in" / "machines"
        self.machines.mkdir(parents=True)
        self.mended = path / "mended"
        (path / "train.py").write_text(TRAIN)
        (path / "runslot.toml").write_text(
            f'[launchers.rented]\nkind = "sky"\ninfra = "slurm/here"\nbucket = "{bucket}"\nmachines'
            " = 2\nsync_interval = 1\nlook_interval = 1\npython ="
            f' "{sys.executable}"\nskypilot_python = "{STAND_IN}"\n'
        )
        self.environment = {
            **os.environ,
            "SKY_STAND_IN": str(path / "stand-in"),
            "SKY_STAND_IN_ENV": sys.prefix,
            "MENDED": str(self.mended),
            "RUNSLOT_YES": "1",
            "RUNSLOT_ROOT": str(path / "runs"),
            "RUNSLOT_SKYPILOT_PYTHON": str(STAND_IN),
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "runslot", *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    @property
    def experiment(self) -> Path:
        return next((self.path / "runs").glob("*/latest")).resolve()

    @property
    def store(self) -> str:
        return str(json.loads((self.experiment / "cloud" / "rented.json").read_text())["store"])

    def tree(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.experiment)): path.read_bytes()
            for path in self.experiment.rglob("*")
            if path.name in {"progress.csv", "variant.json", "outcome.json"}
            and "code" not in path.parts
        }


@pytest.fixture
def place(address: str, tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, address)
    yield made
    for name in [each.name for each in made.machines.iterdir()]:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"HOME={made.machines / name}".encode() in (
                    entry / "environ"
                ).read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue


SWEEP = ("run", "train.py:train", "--grid", "lr=0.1,0.2,0.3", "--on", "rented")


def test_all_of_an_experiment_is_deleted_and_it_goes_on_without(place: Place, address: str) -> None:
    assert place.call(*SWEEP).returncode == 1
    here = str(place.experiment)
    store = open_store(place.store)
    store.put("b1/share-1-of-2/parts/ab/abandoned", b"of a push that was killed")
    open_store(f"{place.store}d").put("other", b"whose name begins as ours does")
    before, table = place.tree(), place.call("results", here).stdout

    asked = place.call("cloud", "clean", here)
    assert asked.returncode == 2
    assert "add --yes" in asked.stderr
    assert store.names()

    done = place.call("cloud", "clean", here, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{place.store}: " in done.stdout
    assert "1 run has not succeeded: a resume would start from the beginning" in done.stdout
    assert store.names() == {}
    assert open_store(f"{place.store}d").names() == {"other": 30}
    again = place.call("cloud", "clean", here, "--yes")
    assert (again.returncode, again.stdout.strip()) == (0, f"{place.store}: nothing is there")

    pulled = place.call("pull", here)
    assert (pulled.returncode, pulled.stdout.strip()) == (0, f"{here}: 0 files, 0 bytes")
    assert place.call("pull", here, "--every", "60").returncode == 0, "its machines have ended"
    assert "2 succeeded" in place.call("status", here).stdout
    assert place.call("results", here).stdout == table
    assert place.tree() == before

    place.mended.touch()
    resumed = place.call("resume", here, "--failed")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "3 succeeded" in place.call("status", here).stdout
    after = place.tree()
    assert {path: after[path] for path in before if before[path] != after[path]}.keys() <= {
        path
        for path in before
        if json.loads((place.experiment / path).with_name("variant.json").read_text())["lr"] == 0.3
    }
    assert place.call("cloud", "clean", here, "--yes").returncode == 0
    assert store.names() == {}


@pytest.mark.parametrize("address", ["directory"], indirect=True)
def test_what_is_under_way_is_not_deleted(place: Place) -> None:
    (place.path / "held").touch()
    with (place.path / "out").open("wb") as out:
        launch = subprocess.Popen(
            place.command(*SWEEP), cwd=place.path, env=place.environment,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    until = time.monotonic() + 120
    while not list((place.path / "runs").rglob("progress.csv")):
        assert time.monotonic() < until, (place.path / "out").read_text()
        time.sleep(0.1)
    while_at_work = place.call("cloud", "clean", str(place.experiment), "--yes")
    launch.kill()
    launch.wait()
    while_rented = place.call("cloud", "clean", str(place.experiment), "--yes")
    for refused in (while_at_work, while_rented):
        assert refused.returncode != 0
        assert "may still be rented and write there" in refused.stderr
    assert open_store(place.store).names()
    # Given back, and what had arrived but had not come home comes first.
    assert place.call("cloud", "down", str(place.experiment)).returncode == 0
    for rows in (place.path / "runs").rglob("progress.csv"):
        rows.unlink()
    cleaned = place.call("cloud", "clean", str(place.experiment), "--yes")
    assert cleaned.returncode == 0, cleaned.stderr
    assert "have come home now" in cleaned.stdout
    assert list((place.path / "runs").rglob("progress.csv"))


def asked_to_delete(place: Place) -> int:
    """Return the terminal of a clean that has put its question."""
    command = place.command("cloud", "clean", str(place.experiment))
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(place.path)
        os.execve(command[0], command, {**place.environment, "TERM": "dumb"})
    read_until(terminal, "delete them?")
    return terminal


def read_until(terminal: int, text: str, key: bytes = b"") -> str:
    """Read until something is said, pressing a key again now and then, as people do: a signal
    between the question and the read is noticed at the next key only.
    """
    said, until = "", time.monotonic() + 120
    while text not in said:
        assert time.monotonic() < until, said
        if select.select([terminal], [], [], 1.0)[0]:
            said += os.read(terminal, 4096).decode()
        else:
            os.write(terminal, key)
    return said


@pytest.mark.parametrize("address", ["directory"], indirect=True)
def test_who_leaves_the_question_deletes_nothing(place: Place) -> None:
    place.call(*SWEEP)
    for key in (b"\x03", b"\x04", b"\n"):
        terminal = asked_to_delete(place)
        os.write(terminal, key)
        assert "Traceback" not in read_until(terminal, "nothing was deleted", key)
        os.close(terminal)
    assert open_store(place.store).names()


@pytest.mark.parametrize("address", ["directory"], indirect=True)
def test_a_resume_that_begins_while_the_question_stands_keeps_what_it_needs(place: Place) -> None:
    place.call(*SWEEP)
    terminal = asked_to_delete(place)
    before = open_store(place.store).names()
    (place.path / "held").touch()
    resume = subprocess.Popen(
        place.command("resume", str(place.experiment), "--failed"), cwd=place.path, env=place.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not any((each / "pid").exists() for each in place.machines.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.1)
    os.write(terminal, b"y\n")
    read_until(terminal, "may still be rented and write there")
    (place.path / "held").unlink()
    assert open_store(place.store).names().keys() >= before.keys()
    assert resume.wait(120) == 1


@pytest.mark.parametrize("address", ["directory"], indirect=True)
def test_an_experiment_that_rented_nothing_has_nothing_to_clean(place: Place) -> None:
    assert (
        place.call("run", "train.py:train", "--grid", "lr=0.1", "--name", "local").returncode == 0
    )
    done = place.call("cloud", "clean", str(place.experiment), "--yes")
    assert done.returncode == 2
    assert "so it has nothing in a bucket" in done.stderr
