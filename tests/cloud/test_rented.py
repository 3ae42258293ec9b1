"""Rented machines from the command line, with a stand-in for SkyPilot whose machines are
directories of this one.

What the machines do is real: the one-file runslot, its worker, pushes to the bucket, kills.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runslot.cli.output_schemas import output_schema
from runslot.experiment.rundir import ExperimentDir
from runslot.transport.bucket import Inventory

# slow faults: grouped with those of the other launchers; the limit is for what hangs
pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]
STAND_IN = Path(__file__).parent / "sky_stand_in"

TRAIN = """
import os, time
from pathlib import Path
from runslot import logger

def hold(line):
    ledger = Path(os.environ["LEDGER"])
    held, free = ledger.with_name("held"), ledger.with_name("free")
    while held.exists() and not free.exists():
        began = [each for each in ledger.read_text().splitlines() if each.startswith("began")]
        if began.index(line) < int(held.read_text()):
            return
        time.sleep(0.05)

def train(variant):
    ledger = Path(os.environ["LEDGER"])
    key = f"{variant['lr']} {variant['seed']}"
    with ledger.open("a") as file:
        file.write(f"began {key}\\n")
    for i in range(variant.get("steps", 3)):
        logger.record_tabular("Loss", variant["lr"] * (i + 1) + int(variant["seed"]))
        logger.record_tabular("i", i)
        logger.dump_tabular()
        time.sleep(variant.get("pause", 0.05))
    hold(f"began {key}")
    with ledger.open("a") as file:
        file.write(f"did {key}\\n")
"""


class Place:
    """A project with a launcher of the stand-in's machines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.project = path / "project"
        self.machines = path / "stand-in" / "machines"
        self.runs = path / "runs"
        self.ledger = path / "ledger"
        self.ledger.touch()
        self.machines.mkdir(parents=True)
        self.project.mkdir()
        (self.project / "train.py").write_text(TRAIN)
        self.configure()
        self.environment = {
            **os.environ,
            "SKY_STAND_IN": str(path / "stand-in"),
            "SKY_STAND_IN_ENV": sys.prefix,
            "LEDGER": str(self.ledger),
            "RUNSLOT_YES": "1",
            "RUNSLOT_ROOT": str(self.runs),
            "RUNSLOT_SKYPILOT_PYTHON": str(STAND_IN),
        }
        self.launches: list[subprocess.Popen[bytes]] = []

    def configure(self, kind: str = "sky", **keys: Any) -> None:
        values = {
            "bucket": f"file://{self.path}/bucket",
            "machines": 2,
            "sync_interval": 1,
            "look_interval": 1,
            "python": sys.executable,
            "skypilot_python": str(STAND_IN),
            **({"infra": "slurm/here"} if kind == "sky" else {}),
            **keys,
        }
        lines = [
            f"{key} = {json.dumps(value)}".replace(" = NaN", " = nan")
            for key, value in values.items()
            if value is not None
        ]
        text = "\n".join([f'[launchers.rented]\nkind = "{kind}"', *lines]) + "\n"
        (self.project / "runslot.toml").write_text(text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "runslot", *arguments]

    def hold(self, after: int = 0) -> None:
        """Have all runs but the first that begin wait at their end, so that none is over before the
        test has seen what it looks for.
        """
        (self.path / "held.new").write_text(str(after))
        (self.path / "held.new").replace(self.path / "held")

    def let_go(self) -> None:
        """Let them end."""
        (self.path / "free").touch()

    def call(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def sweep(self, *more: str) -> list[str]:
        return [
            "run",
            "train.py:train",
            "--grid",
            "lr=0.1,0.2,0.3",
            "--seeds",
            "2",
            "--on",
            "rented",
            *more,
        ]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.path / "out").open("wb") as out:
            launch = subprocess.Popen(
                self.command(*arguments),
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.launches.append(launch)
        return launch

    @property
    def out(self) -> str:
        """What the launch has said so far."""
        return (self.path / "out").read_text()

    @property
    def log(self) -> list[str]:
        file = self.path / "stand-in" / "log"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def done(self) -> list[str]:
        return sorted(
            line[4:] for line in self.ledger.read_text().splitlines() if line.startswith("did")
        )

    @property
    def experiment(self) -> ExperimentDir:
        return ExperimentDir(next(self.runs.glob("*/latest")).resolve())

    def rented(self) -> list[str]:
        return sorted(each.name for each in self.machines.iterdir() if (each / "pid").exists())

    def processes(self, name: str) -> list[int]:
        wanted = f"HOME={self.machines / name}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def have_ended(self) -> bool:
        """Whether the scripts of all machines have, which nobody has given back."""
        return all((self.machines / each / "status").exists() for each in self.rented())

    def kill_everything_of(self, name: str) -> None:
        looks = 0  # one that has just become another program has no environment at a single look
        while looks < 2:
            left = self.processes(name)
            looks = 0 if left else looks + 1
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        (self.machines / name / "pid").unlink()  # the cloud took it back


ALL = sorted(f"{lr} {seed}" for lr in (0.1, 0.2, 0.3) for seed in (0, 1))


def wait_for(what: Callable[[], Any], seconds: float = 150) -> Any:
    until, began = time.monotonic() + seconds, time.monotonic()
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        # a look that starts a process leaves its share of the cores to what is waited for
        time.sleep(max(0.05, time.monotonic() - began))
        began = time.monotonic()
    return found


@pytest.fixture
def place(tmp_path: Path) -> Any:
    made = Place(tmp_path)
    yield made
    for launch in made.launches:  # a test that failed leaves nothing that others wait for
        launch.kill()
        launch.wait()
    for name in [each.name for each in made.machines.iterdir()]:
        for pid in made.processes(name):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def results(directory: Path) -> dict[str, str]:
    return {
        path.parent.relative_to(directory).as_posix(): path.read_text()
        for path in directory.rglob("progress.csv")
        if "code" not in path.parts
    }


def test_a_sweep_on_two_machines_gives_what_it_gives_here_and_leaves_no_machine(
    place: Place,
) -> None:
    done = place.call(*place.sweep())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worst case      $24.00: each machine ends itself after 24.0 hours" in done.stdout
    assert place.done == ALL
    assert place.rented() == []
    assert sorted(place.log) == sorted(
        f"{verb} {each.name}"
        for each in place.machines.iterdir()
        for verb in ("rented", "gave back")
    )
    away = results(place.experiment.path)
    place.ledger.write_text("")
    here = place.call(
        "run", "train.py:train", "--grid", "lr=0.1,0.2,0.3", "--seeds", "2", "--name", "here"
    )
    assert here.returncode == 0
    assert away == results((place.runs / "here" / "latest").resolve())
    status = place.call("status", str(place.runs / "train" / "latest"))
    assert "6 succeeded" in status.stdout
    assert "no machine is rented" in status.stdout


def test_what_is_not_to_come_home_stays_in_the_bucket(place: Place) -> None:
    (place.project / "save.py").write_text(
        "import os\nfrom pathlib import Path\ndef train(variant):\n    print('saved')\n    for name"
        " in ('model.pt', 'notes.txt'):\n        Path(os.environ['RUNSLOT_RUN'],"
        " name).write_text(name)\n"
    )
    done = place.call(
        "run", "save.py:train", "--on", "rented", "--no-fetch", "*.pt", "--no-fetch", "*.log"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (place.runs / "save").glob("2*/run_0")
    assert (run / "notes.txt").read_text() == "notes.txt"
    assert (run / "console.log").read_text() == "saved\n"
    assert not (run / "model.pt").exists()
    assert any(
        part.read_bytes() == b"model.pt" for part in (place.path / "bucket").rglob("parts/*/*")
    )


def test_the_others_take_the_runs_of_a_machine_that_is_lost(place: Place) -> None:
    """SIGKILL to everything of one worker half-way."""
    place.hold(1)
    launch = place.start(*place.sweep("--seeds", "6"))
    victim = wait_for(place.rented)[0]
    wait_for(lambda: place.done)
    place.kill_everything_of(victim)
    wait_for(lambda: f"{victim} has ended without its work" in place.out)
    place.let_go()
    assert launch.wait(150) == 0, place.out
    assert place.log.count(f"rented {victim}") == 1
    assert len(set(place.done)) == 18
    # At most what ran at the kill, or had not been sent, is done again.
    assert len(place.done) <= 18 + 4
    assert "18 succeeded" in place.call("status", str(place.experiment.path)).stdout
    assert place.rented() == []


def test_a_lost_machine_without_others_is_said_with_what_rents_for_its_runs(place: Place) -> None:
    place.configure(machines=1, managed=False)
    place.hold(1)
    launch = place.start(*place.sweep())
    wait_for(lambda: place.done)
    (victim,) = place.rented()
    place.kill_everything_of(victim)
    assert launch.wait(150) == 1
    place.let_go()
    resume = f"runslot resume {place.experiment.path}"
    assert f"nothing replaces it, `{resume}` rents for its runs" in place.out
    status = place.call("status", str(place.experiment.path)).stdout
    assert "no machine is rented" in status
    assert resume in status
    assert place.call("resume", str(place.experiment.path)).returncode == 0
    assert sorted(set(place.done)) == ALL
    assert place.rented() == []


def test_a_bucket_that_is_away_for_a_while_is_said_once_and_costs_no_run(place: Place) -> None:

    def lead_to(target: Path) -> None:  # at once: a push would make a directory of its own
        (place.path / "link").symlink_to(target)
        (place.path / "link").replace(place.path / "bucket")

    (place.path / "objects").mkdir()
    lead_to(place.path / "objects")
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: results(place.runs))
    wait_for(lambda: place.out.count(" works\n") == 2)  # nothing else is said between
    lead_to(place.ledger)  # no directory: whatever is written or read is refused
    wait_for(lambda: "pulling again later" in place.out)
    place.let_go()
    time.sleep(6)
    lead_to(place.path / "objects")
    assert launch.wait(150) == 0, place.out
    lines = place.out.splitlines()
    problems = [line for line in lines if line.endswith("pulling again later")]
    assert len(problems) == len(set(problems))
    assert place.done == ALL
    assert place.rented() == []


def test_a_machine_that_ends_before_its_first_turn_costs_no_run(place: Place) -> None:
    place.configure(setup=["case $PWD in *-2/*) kill -9 $$;; esac", "true"])
    done = place.call(*place.sweep("--grid", "pause=0.3"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.done == ALL
    assert place.rented() == []


def test_a_machine_that_comes_late_takes_what_is_left(place: Place) -> None:
    late = place.path / "stand-in" / "wait-2"
    late.touch()
    place.hold(13)
    launch = place.start(*place.sweep("--seeds", "8"))

    def turns() -> list[int]:
        lists = sorted((place.path / "bucket").rglob("list.json.gz"))
        return [len(Inventory.from_bytes(path.read_bytes()).runs) for path in lists]

    wait_for(lambda: len(place.done) == 13)  # more than an even share, which would be twelve each
    late.unlink()
    wait_for(lambda: len(turns()) == 2 and all(turns()))
    place.let_go()
    assert launch.wait(150) == 0, place.out
    assert len(place.done) == len(set(place.done)) == 24  # each once
    runs = place.experiment.read_runs()
    assert len(list(place.experiment.path.rglob("outcome.json"))) == len(runs) == 24
    assert sum(turns()) == 24
    assert turns()[0] >= 13
    assert place.rented() == []


def test_one_question_asks_for_all_machines(place: Place) -> None:
    place.configure(machines=3)
    place.hold()
    launch = place.start(*place.sweep())
    looks = place.path / "stand-in" / "looks"
    wait_for(lambda: looks.exists() and "3\n" in looks.read_text())
    place.let_go()
    assert launch.wait(150) == 0, place.out


def test_lost_machines_are_replaced_where_that_costs_nothing(place: Place) -> None:
    place.configure(machines=1)
    (place.path / "stand-in" / "has-controller").touch()
    done = place.call(*place.sweep())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost machines   are replaced by SkyPilot's managed jobs" in done.stdout
    assert any(line.startswith("submitted") for line in place.log)
    place.configure(machines=1, managed=False)
    done = place.call(*place.sweep("--name", "plain"))
    assert "lost machines   are not replaced, `runslot resume` rents for their runs" in done.stdout
    assert sum(line.startswith("submitted") for line in place.log) == 1


def test_runs_whose_outcome_had_arrived_are_never_done_again(place: Place) -> None:
    place.configure(machines=1, managed=True)
    place.hold(2)
    launch = place.start(*place.sweep())

    def finished() -> list[Path]:
        return [path for path in place.runs.rglob("outcome.json") if "code" not in path.parts]

    wait_for(finished)
    (victim,) = place.rented()
    place.kill_everything_of(victim)
    kept = {path: path.read_text() for path in finished()}
    assert kept
    place.let_go()
    assert launch.wait(150) == 0, place.out
    for path, text in kept.items():
        assert path.read_text() == text
        variant = json.loads((path.parent / "variant.json").read_text())
        assert place.done.count(f"{variant['lr']} {variant['seed']}") == 1
    assert sorted(set(place.done)) == ALL


def test_a_worker_that_is_killed_alone_is_started_again_and_its_runs_go_on(place: Place) -> None:
    place.configure(machines=1)
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: results(place.runs))
    os.kill(wait_for(lambda: worker(place)), signal.SIGKILL)
    place.let_go()
    assert launch.wait(150) == 0, place.out
    assert place.done == ALL  # each once
    assert rentals(place) == (1, 1)


def worker(place: Place) -> int | None:
    """Return the worker of the only machine; what it has forked has its command line too."""
    parents = {}
    for pid in place.processes(place.rented()[0]):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        if b"work" in command and b"--moved" in command:
            parents[pid] = int(stat.rpartition(")")[2].split()[1])
    return next((pid for pid, parent in parents.items() if parent not in parents), None)


def test_an_interpreter_that_the_machine_has_not_is_named_and_not_tried_again(place: Place) -> None:
    place.configure(machines=1, python="~/nowhere/python")
    done = place.call(*place.sweep())
    assert done.returncode == 1
    assert "python = '~/nowhere/python' cannot be started: No such file or directory" in done.stdout
    assert rentals(place) == (1, 1)


def test_resumable_runs_continue_from_what_had_arrived(place: Place) -> None:
    (place.project / "train.py").write_text(
        TRAIN.replace(
            "    for i in range(",
            "    mark = Path(logger.get_snapshot_dir()) / 'params.txt'\n"
            "    first = int(mark.read_text()) if mark.exists() else 0\n"
            "    with ledger.open('a') as file:\n        file.write(f'from {first}\\n')\n"
            "    for i in range(first, ",
        ).replace(
            "        time.sleep(variant",
            "        mark.with_suffix('.new').write_text(str(i + 1))\n"
            "        mark.with_suffix('.new').replace(mark)\n"
            "        if i == 3:\n            hold(f'began {key}')\n"
            "        time.sleep(variant",
        )
    )
    place.hold()
    place.configure(machines=1, managed=True)
    launch = place.start(
        "run", "train.py:train", "--grid", "lr=0.1", "--grid", "steps=12", "--grid", "pause=0.5", "--resumable",
        "--on", "rented",
    )  # fmt: skip
    wait_for(lambda: [path for path in place.runs.rglob("params.txt") if int(path.read_text()) > 2])
    place.kill_everything_of(place.rented()[0])
    place.let_go()
    assert launch.wait(150) == 0, place.out
    begun = [
        int(line[5:]) for line in place.ledger.read_text().splitlines() if line.startswith("from")
    ]
    assert begun[0] == 0
    assert begun[1] >= 3
    (rows,) = results(place.experiment.path).values()
    assert [line.split(",")[-1] for line in rows.splitlines()][
        -1
    ] == "11" or "11" in rows.splitlines()[-1]


def test_the_deadline_ends_runs_brings_home_what_there_is_and_gives_the_machines_back(
    place: Place,
) -> None:
    place.configure(machines=1, max_hours=40 / 3600)
    done = place.call(*place.sweep("--grid", "steps=1000", "--grid", "pause=0.1"))
    assert done.returncode == 1
    assert "deadline" in done.stdout
    assert place.rented() == []
    assert place.done == []
    assert any("Loss" in text for text in results(place.experiment.path).values())


def test_stop_from_another_terminal_brings_home_what_there_is(place: Place) -> None:
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: results(place.runs))
    stopped = place.call("stop", str(place.experiment.path))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    launch.wait(150)
    assert place.rented() == []
    states = place.call("status", str(place.experiment.path)).stdout
    assert "stopped" in states


def test_what_was_given_back_by_hand_is_lost_and_one_resume_does_it(place: Place) -> None:
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: results(place.runs))
    launch.kill()
    launch.wait()
    where = str(place.experiment.path)
    assert place.call("cloud", "down", where).returncode == 0
    assert "running" not in place.call("status", where).stdout
    place.let_go()
    again = place.call("resume", where)
    assert again.returncode == 0, again.stdout + again.stderr
    assert sorted(set(place.done)) == ALL
    rented, given_back = rentals(place)
    assert 2 < rented == given_back  # as many as what was missing takes


def test_a_resume_takes_the_limits_that_it_is_given(place: Place) -> None:
    del place.environment["RUNSLOT_YES"]
    place.configure(machines=1, max_cost=5, max_hours=3)
    (place.path / "stand-in" / "refuses").write_text("no capacity")
    assert place.call(*place.sweep("--yes")).returncode == 1
    (place.path / "stand-in" / "refuses").unlink()
    where = str(place.experiment.path)
    asked = place.call("resume", where)
    assert asked.returncode == 2
    assert "nobody is here to agree: add --yes" in asked.stderr
    dear = place.call("resume", where, "--yes", "--max-cost", "0.01")
    assert dear.returncode == 2
    assert "pays for 1 minutes of 1 × any" in dear.stderr
    done = place.call("resume", where, "--yes", "--max-cost", "2", "--max-hours", "10")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each machine ends itself after 4.0 hours" in done.stdout
    assert place.done == ALL


def test_down_refuses_what_is_at_work_and_names_that_are_none(place: Place) -> None:
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: results(place.runs) and place.out.count(" works\n") == 2)
    machine = place.rented()[0]
    for asked in (machine, "--all", str(place.experiment.path)):
        refused = place.call("cloud", "down", asked)
        assert refused.returncode == 1
        assert f"{machine} works for a launch: `runslot stop" in refused.stderr
    unknown = place.call("cloud", "down", machine + "0")
    assert unknown.returncode == 2
    assert f"did you mean {machine!r}" in unknown.stderr
    launch.kill()
    launch.wait()
    (place.path / "stand-in" / "keeps").write_text("throttled")
    failed = place.call("cloud", "down", str(place.experiment.path))
    assert failed.returncode == 1
    assert "throttled" in failed.stderr
    told = place.call("cloud", "down", str(place.experiment.path), "--json")
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    for answer in answers:
        jsonschema.validate(answer, output_schema("cloud-down"))
    assert {answer["given_back"] for answer in answers} == {False}
    assert len(place.rented()) == 2
    (place.path / "stand-in" / "keeps").unlink()
    assert place.call("cloud", "down", str(place.experiment.path)).returncode == 0
    assert place.rented() == []


@pytest.mark.parametrize("left", [False, True], ids=["launch at work", "launch gone"])
def test_a_single_run_is_stopped_and_the_others_go_on(place: Place, left: bool) -> None:
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: results(place.runs) and place.out.count(" works\n") == 2)
    if left:
        launch.kill()
        launch.wait()
    one = place.experiment.read_runs()[4]
    stopped = place.call("stop", str(place.experiment.path), one.id)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    if left:
        assert len(place.rented()) == 2  # they have other runs to do
    place.let_go()
    if left:
        wait_for(lambda: "5 succeeded" in place.call("status", str(place.experiment.path)).stdout)
        place.call("cloud", "down", str(place.experiment.path))
    else:
        assert launch.wait(150) == 1
    assert "5 succeeded, 1 stopped" in place.call("status", str(place.experiment.path)).stdout
    assert len(place.done) == 5
    assert place.rented() == []


def rentals(place: Place) -> tuple[int, int]:
    """Return how many machines were rented, and how many given back."""
    return sum(line.startswith("rented") for line in place.log), sum(
        line.startswith("gave") for line in place.log
    )


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_machine_that_is_stopped_while_it_is_rented_is_given_back(place: Place, how: str) -> None:
    (place.path / "stand-in" / "slow").write_text("8")
    launch = place.start(*place.sweep("--grid", "steps=1000"))
    wait_for(lambda: "\nrenting " in place.out)
    time.sleep(1)
    place.call("stop", str(place.experiment.path), *(["--kill"] if how == "kill" else []))
    assert launch.wait(150) != 0
    assert place.rented() == []
    assert "no machine is rented" in place.call("cloud", "ls").stdout
    assert place.done == []


def test_a_pull_elsewhere_while_a_machine_ends_makes_it_no_lost_one(place: Place) -> None:
    place.configure(machines=1)
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: any(place.runs.rglob("progress.csv")))
    looks = place.path / "stand-in" / "looks"
    with (place.experiment.path / "cloud" / "pull.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place.let_go()
        wait_for(place.have_ended)
        before = len(looks.read_text().splitlines()) if looks.exists() else 0
        # one that begins now sees the end, and is judged by when the next begins; no news may come
        wait_for(lambda: len(looks.read_text().splitlines()) >= before + 2)
        assert launch.poll() is None
    assert launch.wait(150) == 0, place.out
    assert "without its work" not in place.out
    assert rentals(place) == (1, 1)


def test_what_was_called_lost_and_has_arrived_since_is_not_done_again(place: Place) -> None:
    """The bucket is out of reach from home until the machine is given up."""
    place.configure(machines=1)
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: any(place.runs.rglob("progress.csv")))
    launch.kill()
    launch.wait()
    place.let_go()
    wait_for(place.have_ended)
    journal = place.experiment.journal_file
    with journal.open("a") as file:  # as a launch writes it that believes its machine to be lost
        for run in place.experiment.read_runs():
            outcome = {
                "kind": "lost",
                "attempt": 1,
                "ended": time.time(),
                "message": "its machine was lost",
            }
            file.write(
                json.dumps(
                    {"event": "ended", "time": time.time(), "run": run.id, "outcome": outcome}
                )
                + "\n"
            )
    again = place.call("resume", str(place.experiment.path))
    assert again.returncode == 0, again.stdout + again.stderr
    assert place.done == ALL
    assert rentals(place)[0] == 1
    assert "6 succeeded" in place.call("status", str(place.experiment.path)).stdout
    place.call("cloud", "down", str(place.experiment.path))


def test_a_launch_killed_before_it_wrote_a_machine_down_is_resumed(place: Place) -> None:
    launch = place.start(*place.sweep())
    wait_for(lambda: any(place.runs.glob("*/latest/cloud/b1/*.tar.gz")))
    launch.kill()
    launch.wait()
    await_who_rents(place)
    for name in place.rented():  # the kill came before the machine was written down, and rented
        place.kill_everything_of(name)
    (place.experiment.path / "cloud" / "rented.json").unlink(missing_ok=True)
    again = place.call("resume", str(place.experiment.path))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "6 succeeded" in place.call("status", str(place.experiment.path)).stdout
    assert place.rented() == []


def test_managed_jobs_rent_lost_machines_anew(place: Place) -> None:
    place.configure(managed=True)
    place.hold(1)
    launch = place.start(*place.sweep("--seeds", "8"))
    wait_for(lambda: any(place.runs.rglob("outcome.json")))
    victim = place.rented()[0]
    place.kill_everything_of(victim)
    wait_for(lambda: f"{victim} was lost; SkyPilot lets another take its place" in place.out)
    place.let_go()
    assert launch.wait(150) == 0, place.out
    assert "cpu.small, $0.100 an hour: SkyPilot's" in place.out
    assert len(set(place.done)) == 24
    assert place.rented() == []
    assert list((place.path / "stand-in" / "jobs").glob("rs-*[0-9]")) == []
    assert "no machine is rented" in place.call("cloud", "ls").stdout


def test_a_launch_that_died_is_pulled_and_resumed(place: Place) -> None:
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: len(place.rented()) == 2)
    wait_for(lambda: any(place.runs.rglob("progress.csv")))
    launch.kill()
    launch.wait()
    place.let_go()
    wait_for(place.have_ended)
    pulled = place.call("pull", str(place.experiment.path))
    assert pulled.returncode == 0, pulled.stderr
    assert "6 succeeded" in place.call("status", str(place.experiment.path)).stdout
    listed = place.call("cloud", "ls")
    assert len(listed.stdout.splitlines()) == 2
    assert "$0.500" in listed.stdout
    for line in place.call("cloud", "ls", "--json").stdout.splitlines():
        jsonschema.validate(json.loads(line), output_schema("cloud-ls"))
    down = place.call("cloud", "down", str(place.experiment.path))
    assert down.returncode == 0, down.stderr
    assert place.rented() == []
    assert place.done == ALL
    assert "no machine is rented" in place.call("cloud", "ls").stdout


def test_status_of_a_sweep_that_was_left_brings_home_what_has_arrived(place: Place) -> None:
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: any(place.runs.rglob("progress.csv")))
    launch.kill()
    launch.wait()
    place.let_go()
    wait_for(lambda: "6 succeeded" in place.call("status", str(place.experiment.path)).stdout)
    wait_for(place.have_ended)  # none writes there any more
    (place.path / "bucket").rename(place.path / "gone")
    assert place.call("status", str(place.experiment.path)).returncode == 0
    assert place.call("cloud", "down", str(place.experiment.path)).returncode == 0


def test_a_launch_that_died_is_taken_up_again_by_resume_and_gives_the_machines_back(
    place: Place,
) -> None:
    place.hold()
    launch = place.start(*place.sweep())
    wait_for(lambda: any(place.runs.rglob("progress.csv")))
    launch.kill()
    launch.wait()
    place.let_go()
    again = place.call("resume", str(place.experiment.path))
    assert again.returncode == 0, again.stdout + again.stderr
    assert place.done == ALL
    assert place.rented() == []
    assert len([line for line in place.log if line.startswith("rented")]) == 2


@pytest.mark.parametrize(
    ("answer", "left", "terminal_kind"), [("l", True, "dumb"), ("s", False, "xterm")]
)
def test_ctrl_c_asks_whether_to_leave_the_machines_or_give_them_back(
    place: Place, answer: str, left: bool, terminal_kind: str
) -> None:
    del place.environment["RUNSLOT_YES"]
    place.hold()
    command = place.command(*place.sweep())
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.project)
        os.execve(command[0], command, {**place.environment, "TERM": terminal_kind})
    said = b""

    def read_until(what: Callable[[], Any]) -> None:
        nonlocal said
        until = time.monotonic() + 150
        while not what():
            assert time.monotonic() < until, said.decode(errors="replace")
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    said += os.read(terminal, 65536)
                except OSError:  # it has ended
                    time.sleep(0.1)

    read_until(lambda: b"rent them? [y/N]" in said)
    assert place.log == [], "nothing is rented before the answer"
    os.write(terminal, b"y\n")
    read_until(lambda: results(place.runs))
    os.write(terminal, b"\x03")
    read_until(lambda: b"[l]eave them, or [s]top the runs" in said)
    os.write(terminal, answer.encode() + b"\n")
    read_until(lambda: os.waitpid(pid, os.WNOHANG)[0])
    with suppress(OSError):  # the end of what it has said
        while select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 65536)
    os.close(terminal)
    assert bool(place.rented()) is left, said.decode(errors="replace")
    assert (b"6 runs go on without this terminal" in said) is left
    assert (b"is still rented, $0.500 an hour, until" in said) is left


def await_who_rents(place: Place) -> None:
    """Wait for those who rent, who outlive their launch."""
    for file in (place.experiment.path / "cloud").glob("*.renting"):
        with file.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def die_while_renting(place: Place, grid: str) -> Path:
    """Kill a launch while others rent its machines; return the file that these wait for to go."""
    stand_in = place.path / "stand-in"
    (stand_in / "wait").touch()
    launch = place.start(*place.sweep("--grid", grid))
    wait_for(lambda: len(list(stand_in.glob("renting/*"))) == 2)
    launch.kill()
    launch.wait()
    return stand_in / "wait"


def test_a_machine_whose_renting_outlives_its_launch_is_found_by_the_resume(place: Place) -> None:
    wait = die_while_renting(place, "pause=0.3")
    again = place.start("resume", str(place.experiment.path))
    wait_for(lambda: "is still being rented" in place.out)
    wait.unlink()
    assert again.wait(150) == 0, place.out
    assert place.done == ALL
    assert rentals(place) == (2, 2)


def test_a_machine_that_is_rented_for_a_launch_that_died_is_given_back_by_cloud_down(
    place: Place,
) -> None:
    wait = die_while_renting(place, "steps=1000")
    down = place.start("cloud", "down", str(place.experiment.path))
    wait_for(lambda: list(place.path.glob("stand-in/giving/*")))
    time.sleep(1)  # nothing was there, and it waits for who rents
    wait.unlink()
    assert down.wait(150) == 0, place.out
    assert place.rented() == []
    assert rentals(place) == (2, 2)
    assert "no machine is rented" in place.call("cloud", "ls").stdout


def test_a_machine_that_comes_while_cloud_down_finds_nothing_is_given_back(place: Place) -> None:
    """It was not there when it was looked for, and is before that is answered."""
    wait = die_while_renting(place, "steps=1000")
    wait_back = wait.with_name("wait-back")
    wait_back.touch()
    down = place.start("cloud", "down", str(place.experiment.path))
    wait_for(lambda: list(place.path.glob("stand-in/giving/*")))
    wait.unlink()
    await_who_rents(place)
    assert len(place.rented()) == 2
    wait_back.unlink()
    assert down.wait(150) == 0, place.out
    assert place.rented() == []
    assert rentals(place) == (2, 2)


def test_why_a_machine_cannot_begin_is_said_here(place: Place) -> None:
    """Its process refuses, as where the machine's identity has no right to the bucket."""
    place.configure(machines=1, setup=["sed -i s/file:/flie:/ job-0.json"])
    done = place.call(*place.sweep())
    assert done.returncode == 1
    (log,) = (place.experiment.path / "cloud").glob("rs-*.log")
    assert f"{log.stem} failed: 'flie:///" in done.stdout
    assert "is not the address of a bucket" in done.stdout
    assert f"{log} has what it printed" in done.stdout
    assert place.rented() == []


def test_a_machine_that_cannot_be_given_back_is_tried_again_and_then_named(place: Place) -> None:
    place.configure(machines=1)
    keeps = place.path / "stand-in" / "keeps"
    keeps.write_text("throttled")
    launch = place.start(*place.sweep())
    assert launch.wait(150) == 0, place.out
    (machine,) = place.rented()
    assert f"{machine} could not be given back: throttled" in place.out
    assert f"{machine} is still rented, $0.500 an hour, until" in place.out
    keeps.unlink()
    assert place.call("resume", str(place.experiment.path)).returncode == 0
    assert place.rented() == []


def test_a_stop_gives_back_what_is_rented_for_a_launch_that_died(place: Place) -> None:
    wait = die_while_renting(place, "steps=1000")
    stop = place.start("stop", str(place.experiment.path))
    wait_for(lambda: len(list(place.path.glob("stand-in/giving/*"))) == 2)
    wait.unlink()
    assert stop.wait(150) == 0, place.out
    assert place.rented() == []
    assert rentals(place) == (2, 2)
    assert "no machine is rented" in place.call("cloud", "ls").stdout


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"instance_type": "cpu.smal"}, "Near to cpu.smal: cpu.small"),
        ({"bucket": None}, "needs the key bucket"),
        ({"bucket": "s4://x"}, "did you mean 's3'"),
        ({"max_hours": math.nan}, "max_hours is nan"),
        ({"idle_minutes": -1}, "idle_minutes is -1"),
        ({"python": ""}, "python is empty"),
        ({"max_cost": 0.1}, "pays for 6 minutes of 2 × any at $0.500 an hour"),
        ({"hours_per_run": 10, "max_cost": 5}, "will cost about $30.00, more than max_cost $5.00"),
        ({"machines": 0}, "machines is 0, but must be a number above 0"),
        ({"spott": True}, "unknown key 'spott' (did you mean 'spot'?)"),
    ],
)
def test_bad_input_is_refused_before_the_first_machine(
    place: Place, keys: dict[str, Any], said: str
) -> None:
    place.configure(**keys)
    done = place.call(*place.sweep())
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert place.log == []
    assert not list(place.runs.rglob("experiment.json"))


def test_missing_credentials_are_refused_before_the_first_machine(place: Place) -> None:
    (place.path / "stand-in" / "no-credentials").touch()
    done = place.call(*place.sweep())
    assert done.returncode == 2
    assert "no credentials were found" in done.stderr
    assert "runslot launchers check rented" in done.stderr
    check = place.call("launchers", "check", "rented")
    assert check.returncode == 1
    assert "FAIL rented: credentials for slurm: no credentials were found" in check.stdout
    (place.path / "stand-in" / "no-credentials").unlink()
    check = place.call("launchers", "check", "rented")
    assert check.returncode == 0, check.stdout
    assert "ok   rented: machine: any, $0.500 an hour" in check.stdout


def test_nobody_to_agree_means_nothing_is_rented(place: Place) -> None:
    del place.environment["RUNSLOT_YES"]
    done = place.call(*place.sweep())
    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert place.log == []
    agreed = place.call(*place.sweep("--yes"))
    assert agreed.returncode == 0, agreed.stdout + agreed.stderr


def test_limits_of_the_command_line_are_for_rented_machines(place: Place) -> None:
    done = place.call(*place.sweep("--max-hours", "2", "--max-cost", "1.5"))
    assert done.returncode == 0, done.stderr
    assert "worst case      $1.50: each machine ends itself after 1.5 hours" in done.stdout
    refused = place.call("run", "train.py:train", "--grid", "lr=0.1", "--max-cost", "1")
    assert refused.returncode == 2
    assert "--max-cost is for rented machines" in refused.stderr


def test_a_module_that_does_not_travel_is_refused(place: Place) -> None:
    elsewhere = place.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far_away.py").write_text(TRAIN)
    place.environment["PYTHONPATH"] = str(elsewhere)
    done = place.call("run", "far_away:train", "--grid", "lr=0.1", "--on", "rented")
    assert done.returncode == 2, done.stdout
    assert f"module 'far_away' lies in {elsewhere}, which does not travel" in done.stderr
    assert place.log == []


def test_a_machine_that_cannot_be_had_loses_no_run(place: Place) -> None:
    (place.path / "stand-in" / "refuses").write_text("no capacity in us-east-1")
    done = place.call(*place.sweep())
    assert done.returncode == 1
    assert "no capacity in us-east-1" in done.stdout
    (place.path / "stand-in" / "refuses").unlink()
    again = place.call("resume", str(place.experiment.path))
    assert again.returncode == 0, again.stdout + again.stderr
    assert place.done == ALL


def test_a_setup_that_fails_is_said_with_what_it_printed_and_not_tried_again(place: Place) -> None:
    place.configure(machines=1, setup=["echo this is why; false"])
    done = place.call(*place.sweep())
    assert done.returncode == 1
    assert len([line for line in place.log if line.startswith("rented")]) == 1
    (log,) = (place.experiment.path / "cloud").glob("rs-*.log")
    assert "this is why" in log.read_text()
    assert str(log) in done.stdout
    assert place.rented() == []


def test_no_credential_is_in_what_travels_or_in_the_experiment(place: Place) -> None:
    secret = "SECRETSECRETSECRET"
    place.environment |= {
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ACCESS_KEY_ID": secret,
        "AWS_SESSION_TOKEN": secret,
    }
    assert place.call(*place.sweep()).returncode == 0
    import tarfile

    for file in [
        path for path in (*place.runs.rglob("*"), *place.machines.rglob("*")) if path.is_file()
    ]:
        if ".runslot/sync" in str(file):
            continue
        assert secret.encode() not in file.read_bytes(), file
        if file.name.endswith(".tar.gz"):
            with tarfile.open(file) as archive:
                for member in archive.getmembers():
                    content = archive.extractfile(member) if member.isfile() else None
                    assert content is None or secret.encode() not in content.read()


def test_a_launchkit_script_runs_on_rented_machines(place: Place) -> None:
    text = (place.project / "runslot.toml").read_text()
    text = text.replace("launchers.rented", "launchers.ec2")
    (place.project / "runslot.toml").write_text(text)
    (place.project / "script.py").write_text(
        "from runslot.launchkit import run_experiment\nfrom train import train\nif __name__ =="
        " '__main__':\n    done = run_experiment(train, mode='ec2', exp_prefix='lk', variant={'lr':"
        " [0.1, 0.2, 0.3]}, sweep=True,\n        seed=0, num_exps_per_instance=2,"
        " instance_type='cpu.small', sync_interval=1, base_log_dir='lk-runs')\n    assert"
        " done.outcomes.all_succeeded, done.outcomes\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=place.project, env=place.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([line for line in place.log if line.startswith("rented")]) == 2
    assert place.rented() == []
    rows = list((place.project / "lk-runs").rglob("progress.csv"))
    assert len(rows) == 3
    assert "cpu.small" in done.stdout


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("spot_price=-1", "spot_price is -1, but must be a number above 0"),
        (
            "num_exps_per_instance='two'",
            "num_exps_per_instance is 'two', but must be a number above 0",
        ),
        ("region=3", "region is 3, but must be the name of one"),
    ],
)
def test_wrong_arguments_of_a_launchkit_call_are_named(
    place: Place, argument: str, said: str
) -> None:
    text = (place.project / "runslot.toml").read_text()
    (place.project / "runslot.toml").write_text(text.replace("launchers.rented", "launchers.ec2"))
    (place.project / "script.py").write_text(
        "from runslot.launchkit import run_experiment\nfrom train import"
        " train\nrun_experiment(train, mode='ec2', exp_prefix='lk', variant={'lr': 0.1}, seed=0,"
        f" {argument})\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=place.project, env=place.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert said in done.stderr
    assert place.log == []


def test_a_resume_gives_back_a_machine_whose_runs_were_all_home_before_its_launch_died(
    place: Place,
) -> None:
    launch = place.start(*place.sweep())
    wait_for(lambda: len(list(place.runs.rglob("outcome.json"))) == len(ALL))
    launch.kill()
    launch.wait()
    record = place.experiment.path / "cloud" / "rented.json"
    books = json.loads(record.read_text())
    for machine in books["machines"]:
        machine["ended"] = []
    record.write_text(json.dumps(books))

    again = place.call("resume", str(place.experiment.path))

    assert again.returncode == 0, again.stdout + again.stderr
    assert place.rented() == []
    assert all(machine["ended"] for machine in json.loads(record.read_text())["machines"])


def test_the_first_dollar_says_what_it_saw(place: Place) -> None:
    script = STAND_IN.parents[2] / "examples" / "cloud" / "first-dollar.sh"
    lines = ['infra = "slurm/here"', "look_interval = 1"]
    lines += [
        f"{key} = {json.dumps(value)}"
        for key, value in (("skypilot_python", str(STAND_IN)), ("python", sys.executable))
    ]
    environment = {**place.environment}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment.pop("RUNSLOT_ROOT")
    done = subprocess.run(
        [script, "sky", f"file://{place.path}/bucket", *lines],
        cwd=place.path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    report = (place.path / "first-dollar.md").read_text()
    assert done.returncode == 0, report
    for words in ("# First dollar: sky", "it booted", "2 succeeded", "no machine is rented"):
        assert words in report
    assert "a key is here" not in report
    assert "in all: it works" in report
    assert place.rented() == []
    assert not [path for path in (place.path / "bucket").rglob("*") if path.is_file()]
