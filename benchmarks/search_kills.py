"""A search under random kills of its launcher, its runs and its pilots, beside one that nothing
broke.

    python benchmarks/search_kills.py [--kills 200] [--trials 80] [--seed 0] [--pilots]

With `--pilots` the search is on Slurm, the fake one of `tests/testbeds`: nodes die with their
pilots, runs die alone, and launchers die as they send further pilots.

Every trial must be told once, every rung decided once, and the study equal to the unbroken one:
the same trials in the same order, with the same values. Of a search that prunes, whose verdicts
depend on which run came first, the trials and the replay are compared. `study.log` is torn at some
of the kills, and must be whole in the end.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from runslot.experiment.journal import read_events

FAKE = Path(__file__).resolve().parents[1] / "tests" / "testbeds" / "slurm-fake"
LEAST_PILOTS = 2
"""Pilots at work below which further ones are sent."""
JOB = """
import pickle, time
from runslot import current_run, logger

def train(variant):
    best = 1 - (variant["lr"] - 0.3) ** 2
    snapshot = current_run().directory / "params.pkl"
    start = pickle.loads(snapshot.read_bytes()) + 1 if snapshot.exists() else 1
    for epoch in range(min(start, 9), 10):  # the last row, too, if it was killed just before it
        time.sleep(variant["pace"])
        logger.record_dict({"epoch": epoch, "accuracy": best * (1 - 0.7**epoch)})
        logger.save_itr_params(epoch, epoch)
        logger.dump_tabular()
"""
SEARCH = ("--search", "lr=uniform(0,1)", "--grid", "pace=0.1", "--sampler", "random")
BEST = ("--metric", "accuracy", "--mode", "max", "-q", "--resumable")
PRUNED = ("--prune", "asha:first=1,eta=3,last=9")


def main() -> None:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--trials", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pilots", action="store_true")
    options = parser.parse_args()
    kind = PilotSearch if options.pilots else Search
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "job.py").write_text(JOB)
        for name, rule in (("whole runs", ()), ("pruned", PRUNED)):
            whole = kind(directory, f"whole-{len(rule)}", options.trials, rule)
            whole.run(random.Random(0), 0)
            broken = kind(directory, f"broken-{len(rule)}", options.trials, rule)
            kills = broken.run(random.Random(options.seed), options.kills // 2)
            broken.check()
            same = broken.trials() == whole.trials()
            same &= bool(rule) or broken.values() == whole.values()
            counts = dict(broken.status()["counts"])
            print(f"{name}: {kills} kills, {counts}, the study is {'equal' if same else 'ANOTHER'}")
            if not same:
                sys.exit("\n".join(differences(whole, broken)))


def differences(whole: Search, broken: Search) -> Iterator[str]:
    """Yield in which trials two searches differ."""
    pairs = zip_longest(*(search.status()["search"]["trials"] for search in (whole, broken)))
    for number, (one, other) in enumerate(pairs):
        if (
            one is None
            or other is None
            or (one["params"], one["value"])
            != (
                other["params"],
                other["value"],
            )
        ):
            yield f"trial {number}: {one} unbroken, {other}"


class Search:
    """One search from the command line, which is killed and resumed until it is over."""

    def __init__(self, directory: Path, root: str, trials: int, rule: tuple[str, ...]) -> None:
        self.directory = directory
        self.root = directory / root
        self.begun = 0
        self.words = ("--trials", str(trials), "--root", root, *SEARCH, *BEST, *rule)
        self.environment = dict(os.environ)

    def run(self, rng: random.Random, kills: int) -> int:
        """Run it to its end; return how many kills that took."""
        process, done = self._start("run", "job.py:train", *self.words), 0
        while True:
            time.sleep(rng.uniform(0.05, 0.5) if kills else 0.1)
            if process.poll() is None:
                if done < kills and self._steps() > self.begun:  # it has got to work
                    done += self._kill(rng, process)
            elif self._is_over():
                return done
            else:
                process = self._start("resume", "--failed", "-q", str(self.place))

    def _steps(self) -> int:
        """Return how often a run has begun, or ended."""
        try:
            text = (self.place / "journal.jsonl").read_text()
        except OSError:
            return 0
        return text.count('"event":"start"') + text.count('"event":"ended"')

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        self.begun = self._steps()
        return subprocess.Popen(
            [sys.executable, "-m", "runslot", *words],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _kill(self, rng: random.Random, launcher: subprocess.Popen[bytes]) -> int:
        if rng.random() < 0.5:
            launcher.kill()
            launcher.wait()
            self._tear(rng)
            return 1
        keepers = [*self._keepers()]
        if not keepers:
            return 0
        keeper = rng.choice(keepers)
        victim = rng.choice([keeper, *_children(keeper)])
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return 0
        return 1

    def _tear(self, rng: random.Random) -> None:
        copy = self.place / "study.log"
        if copy.exists() and rng.random() < 0.3:
            os.truncate(copy, rng.randrange(copy.stat().st_size))

    def _keepers(self) -> Iterator[int]:
        for file in self.place.glob("*/*/*/attempt.json"):
            try:
                record = json.loads(file.read_text())
            except (OSError, ValueError):
                continue
            if Path(f"/proc/{record['pid']}").exists() and "kind" not in record:
                yield record["pid"]

    @property
    def place(self) -> Path:
        """The experiment's directory."""
        return next(iter(sorted(self.root.glob("job/2*"))), self.root / "none")

    def _is_over(self) -> bool:
        status = self.status()
        unfinished = {"failed", "lost", "stopped"} & status.get("counts", {}).keys()
        return bool(status.get("search", {}).get("is_over")) and not unfinished

    def status(self) -> dict[str, Any]:
        """Return what `runslot status --json` says."""
        words = [sys.executable, "-m", "runslot", "status", "--json", str(self.place)]
        done = subprocess.run(
            words, cwd=self.directory, env=self.environment, capture_output=True, check=False
        )
        return dict(json.loads(done.stdout)["experiments"][0]) if done.returncode == 0 else {}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name of the journal."""
        events = read_events(self.place / "journal.jsonl")
        return [dict(event) for event in events if event["event"] == name]

    def trials(self) -> list[Any]:
        """Return the trials' parameters, in order."""
        return [event["params"] for event in self.events("trial")]

    def values(self) -> list[Any]:
        """Return the trials' values, in order."""
        return [trial["value"] for trial in self.status()["search"]["trials"]]

    def check(self) -> None:
        """Stop where anything was decided twice, or a run is listed twice."""
        runs = [json.loads(line)["id"] for line in (self.place / "runs.jsonl").open()]
        verdicts = [(event["trial"], event["rung"]) for event in self.events("rung")]
        numbers = [event["trial"] for event in self.events("trial")]
        for kind, items in (("run", runs), ("verdict", verdicts), ("trial", numbers)):
            twice = [item for item, count in Counter(map(str, items)).items() if count > 1]
            if twice:
                sys.exit(f"{kind} twice: {twice}")
        self.check_copy(len(numbers))

    def check_copy(self, trials: int) -> None:
        """Stop where the copy for optuna-dashboard is not whole."""
        lines = [json.loads(line) for line in (self.place / "study.log").open()]
        if len(lines) != trials + 1:
            sys.exit(f"study.log has {len(lines)} lines for {trials} trials")


class PilotSearch(Search):
    """A search whose pilots ask for their runs in a queue of executables."""

    def __init__(self, directory: Path, root: str, trials: int, rule: tuple[str, ...]) -> None:
        super().__init__(directory, root, trials, rule)
        self.words = (*self.words, "--on", "cluster")
        self.state, programs = directory / f"{root}-queue", directory / "bin"
        self.state.mkdir()
        programs.mkdir(exist_ok=True)
        for name in ("sbatch", "squeue", "scancel", "scontrol"):
            call = f"{shlex.quote(sys.executable)} {shlex.quote(str(FAKE))} {name}"
            (programs / name).write_text(f'#!/bin/sh\nexec {call} "$@"\n')
            (programs / name).chmod(0o755)
        (directory / "runslot.toml").write_text(
            '[launchers.cluster]\nkind = "slurm"\nat_a_time = 4\n'
        )
        self.environment |= {
            "FAKE_SLURM": str(self.state),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }

    def run(self, rng: random.Random, kills: int) -> int:
        """Run it to its end; return how many kills that took."""
        self._start("run", "job.py:train", *self.words).wait()
        done = 0
        while True:
            time.sleep(rng.uniform(0.2, 1.0))
            running = self._running()
            keepers = {pid: keeper for keeper in self._keepers() for pid in _lineage(keeper)}
            busy = [pilot for pilot in running if pilot["pid"] in keepers]
            if done < kills and busy:  # with a run: most of a pilot's life must not be its start
                done += self._kill_any(rng, rng.choice(busy), keepers)
            if len(running) < LEAST_PILOTS:
                if self._is_over():
                    return done
                self._start("resume", "--failed", "-q", str(self.place)).wait()

    def _kill_any(
        self, rng: random.Random, pilot: dict[str, Any], keepers: Mapping[int, int]
    ) -> int:
        chance = rng.random()
        if chance < 0.5:
            self._kill_node(pilot)
        elif chance < 0.8:
            keeper = keepers[pilot["pid"]]
            _kill(rng.choice([keeper, *_children(keeper)]))
        else:
            launcher = self._start("resume", "--failed", "-q", str(self.place))
            time.sleep(rng.uniform(0.1, 1.5))
            launcher.kill()
            launcher.wait()
        return 1

    def _kill_node(self, pilot: dict[str, Any]) -> None:
        """Kill a pilot and all that it started; the queue knows."""
        _kill(pilot["daemon"])
        for lineage in [_lineage(keeper) for keeper in self._keepers()]:
            if pilot["pid"] in lineage:
                for pid in lineage[: lineage.index(pilot["pid"])]:
                    _kill(pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pilot["pid"], signal.SIGKILL)
        with (self.state / "jobs.json").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            jobs = json.load(file)
            for job in jobs.values():
                for task in job["tasks"].values():
                    if task.get("pid") == pilot["pid"]:
                        task["state"] = "NODE_FAIL"
            file.seek(0)
            file.truncate()
            json.dump(jobs, file)

    def _running(self) -> list[dict[str, Any]]:
        with (self.state / "jobs.json").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            jobs = json.loads(file.read() or "{}")
        tasks = (task for job in jobs.values() for task in job["tasks"].values())
        return [task for task in tasks if task["state"] == "RUNNING"]

    def check_copy(self, trials: int) -> None:
        """Do nothing: the pilot that was to write the last one may have been killed."""


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _lineage(pid: int) -> list[int]:
    """Return a process and those it stems from: a keeper's template, and its pilot."""
    pids = []
    while pid > 1:
        pids.append(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return pids


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


if __name__ == "__main__":
    main()
