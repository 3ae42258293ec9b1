"""The remote end on a host: executes runs of one experiment there, as a launcher tells it over ssh.

It is this package's local launcher with a voice (`runslot serve`). When the connection ends it
leaves, and the runs go on under their keepers; the next remote end finds them by the files that
they wrote.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from runslot.engines.events import LaunchEvent, Said
from runslot.engines.local.config import check_function, choose_slots, local_launcher
from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.open_experiment import OpenExperiment, write_run
from runslot.engines.protocol import Handle, Placed, Short, Taken, UnderWay
from runslot.errors import Busy, RunslotError
from runslot.execute.leftovers import end_escaped
from runslot.experiment.claim import is_claimed
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.hardware.slots import Slot
from runslot.remote.cleanup import (
    be_the_only_one,
    end_given_up,
    end_what_is_left,
    leave,
    remove_all_but,
)
from runslot.transport.messages import BEAT, decode, encode
from runslot.transport.parcel import FILE_BYTES, PARCEL_BYTES, Packed
from runslot.transport.patterns import comes_home
from runslot.transport.scan import Change, Ledger, look

_PATIENCE = 5.0
"""Seconds that a keeper has from its claim of a run to its first file."""
_SETTLED = 1_000_000_000
"""Nanoseconds since its last change after which a large file is taken to be whole."""
_FULL = ("No space left on device", "Disk quota exceeded", "Read-only file system")


class Agent:
    """Serves one launcher until its connection ends."""

    def __init__(self, experiment: OpenExperiment, requests: BinaryIO, out: BinaryIO) -> None:
        self._experiment = experiment
        self._asked_at = requests
        self._out = out
        self._speaking = threading.Lock()
        self._runs = {run.id: run for run in experiment.directory.read_runs()}
        self._slots: dict[int, Slot] = {}
        self._launcher = LocalLauncher((), experiment.directory.launcher_log, self._say)
        self._handles: dict[Handle, str] = {}
        """The runs under way, each with its id."""
        self._ledger = Ledger()
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.removes = False
        """Whether all that was brought here is to go when it leaves."""
        self.leftovers: list[RunDir] = []
        """What is not removed then: directories of runs with files that do not come home."""
        self._verbs = {
            "reserve": self._reserve,
            "release": self._release,
            "make": self._make_asked,
            "start": self._start,
            "stop": self._stop,
            "changes": self._changes,
            "forget": self._forget,
            "remove": self._remove,
        }

    def serve(self) -> None:
        """Do what is asked until nobody asks any more."""
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            while self._answer_all():
                self._tell_ends()
                self._launcher.wait(None)
        finally:
            self._launcher.close()

    def open(self, message: Mapping[str, Any]) -> None:
        """Answer the first question: end what is not to run here any more, choose the slots, find
        what still runs.
        """
        threading.Thread(target=self._beat, daemon=True).start()
        expected = {(run, attempt) for run, attempt in message["expected"]}
        ended = end_given_up(self._experiment, self._runs.values(), expected)
        if ended:
            self._say(f"ended {ended} runs that had been given up")
        answer: dict[str, Any] = {"id": message["id"], "slots": [], "slots_said": ""}
        try:
            if message["runs"]:
                answer |= self._take_slots(message["runs"], message["host"])
        except RunslotError as error:
            answer["refused"] = str(error)
        self._send({**answer, **self._find(sorted(expected))})

    def _take_slots(self, runs: int, host: str) -> dict[str, Any]:
        file = self._experiment.file
        local_slots, slots_text = choose_slots(file, runs, self._say)
        slots = [replace(slot, host=host) for slot in local_slots]

        def hear(event: LaunchEvent) -> None:
            if isinstance(event, Said):
                self._say(event.text)

        self._launcher.close()
        self._launcher = local_launcher(self._experiment, slots, hear)
        check_function(self._launcher, self._experiment)
        self._slots = {slot.index: slot for slot in slots}
        return {"slots": [slot.to_json() for slot in slots], "slots_said": slots_text}

    # ---- the connection --------------------------------------------------------------------------

    def _listen(self) -> None:
        for line in self._asked_at:
            message = decode(line)
            if message is not None:
                self._requests.put(message)
                self._launcher.wake()
        self._requests.put(None)
        self._launcher.wake()

    def _answer_all(self) -> bool:
        """Answer what was asked; False once the launcher has gone.

        What changed is answered last: to pack it takes a while, in which a slot would be empty.
        """
        later: list[dict[str, Any]] = []
        while later or not self._requests.empty():
            message = later.pop(0) if self._requests.empty() else self._requests.get()
            if message is None:
                return False
            if message["verb"] == "changes" and not self._requests.empty():
                later.append(message)
                continue
            for value in message.get("further", ()):  # of a search, whose list of runs grows
                run = Run.from_json(value)
                self._runs.setdefault(run.id, run)
            try:
                answer = self._verbs[message["verb"]](message)
            except (OSError, RunslotError) as error:
                answer = {"failed": str(error)}
            self._send({"id": message["id"], **answer})
        return True

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            with self._speaking:
                self._out.write(encode(message))
                self._out.flush()
        except OSError:  # the connection broke: the end of the questions says so too
            pass

    def _beat(self) -> None:
        while True:
            self._send({"event": "beat"})
            time.sleep(BEAT)

    def _say(self, text: str) -> None:
        self._send({"event": "said", "text": text})

    # ---- runs that are here already --------------------------------------------------------------

    def _find(self, expected: Iterable[tuple[str, int]]) -> dict[str, list[list[Any]]]:
        """Return which runs of those that the launcher takes to be here run, which ended, and which
        are not here.
        """
        by_state: dict[str, list[list[Any]]] = {"running": [], "ended": [], "unknown": []}
        for run_id, attempt in expected:
            if run_id not in self._runs:
                by_state["unknown"].append([run_id, attempt])
                continue
            state = self._adopt(self._runs[run_id], attempt)
            if isinstance(state, Outcome):
                by_state["ended"].append([run_id, attempt, state.to_json()])
            else:
                by_state["running" if state else "unknown"].append([run_id, attempt])
        return by_state

    def _adopt(self, run: Run, attempt: int) -> Outcome | bool:
        """Watch an attempt that runs here; its outcome where it has ended, False where it never was
        here.
        """
        run_dir = self._experiment.run_dir(run)
        _wait_for_record(run_dir, attempt)
        record = run_dir.read_attempt()
        if record is None or record.attempt != attempt:
            return False
        if is_claimed(run_dir):
            handle = self._launcher.adopt(run_dir, run, UnderWay(attempt, record))
            if handle is not None:
                self._handles[handle] = run.id
                return True
        outcome = run_dir.read_outcome()
        if outcome is not None and outcome.attempt == attempt:
            return outcome
        escaped = end_escaped(run_dir.path)
        reason = f"the process that kept it was killed, or {record.host} was switched off"
        ended = f"; ended {escaped} of its processes" if escaped else ""
        return Outcome(
            "lost",
            attempt,
            started=record.started,
            ended=time.time(),
            host=record.host,
            message=reason + ended,
        )

    # ---- verbs -----------------------------------------------------------------------------------

    def _reserve(self, message: Mapping[str, Any]) -> dict[str, Any]:
        refusal = self._launcher.reserve(
            self._slots[message["slot"]], message["experiment"], message["run"]
        )
        return {"taken": None if refusal is None else refusal.by}

    def _release(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._launcher.release(self._slots[message["slot"]])
        return {}

    def _make_asked(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._make(self._runs[message["run"]], message["attempt"])
        return {}

    def _make(self, run: Run, attempt: int) -> RunDir:
        """Make the run's directory complete; what an earlier attempt left in it is home, and
        goes.
        """
        run_dir = self._experiment.run_dir(run)
        earlier = run_dir.read_attempt()
        is_left = (
            run_dir.path.is_dir() and not run_dir.run_file.exists()
        )  # of an attempt that is home otherwise
        if (
            is_left or (earlier is not None and earlier.attempt < attempt)
        ) and not self._experiment.policy.resumable:
            self._clear(run_dir)
        self._ledger.forget(run.id)
        if not run_dir.run_file.exists():
            run_dir.path.mkdir(parents=True, exist_ok=True)
            write_run(run_dir, run, self._experiment.file, self._experiment.directory.path)
        return run_dir

    def _clear(self, run_dir: RunDir) -> None:
        if run_dir.run_file.exists() and is_claimed(run_dir):
            raise Busy(f"{run_dir.path} is still being executed")
        shutil.rmtree(run_dir.path)

    def _start(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {"answers": [self._start_one(*start) for start in message["runs"]]}

    def _start_one(self, run_id: str, attempt: int, slot: int) -> dict[str, Any]:
        run, experiment = self._runs[run_id], self._experiment
        place = self._slots.get(slot)
        if place is None:
            return {"unfit": "it has that slot no more"}
        refusal = self._launcher.reserve(place, experiment.file.name, run.directory)
        if refusal is not None:
            return {"taken": refusal.by}
        try:
            run_dir = self._make(run, attempt)
        except (OSError, RunslotError) as error:
            self._launcher.release(place)
            return {"unfit": str(error)}
        placed = Placed(run, experiment.file.name, run_dir, attempt, place, experiment.environment)
        (answer,) = self._launcher.start([placed])
        if isinstance(answer, (Taken, Outcome)):
            reason = answer.by if isinstance(answer, Taken) else answer.message
            if any(word in reason for word in _FULL):
                return {"unfit": reason}
            return {"taken": reason} if isinstance(answer, Taken) else {"outcome": answer.to_json()}
        self._handles[answer] = run_id
        return {"started": answer.name}

    def _stop(self, message: Mapping[str, Any]) -> dict[str, Any]:
        attempts = {(run, attempt) for run, attempt in message["runs"]}
        handles = [
            handle for handle, run in self._handles.items() if (run, handle.attempt) in attempts
        ]
        self._launcher.stop(handles, message["kill"])
        return {}

    def _tell_ends(self) -> None:
        for handle, outcome in self._launcher.poll(list(self._handles)).items():
            if outcome is None:
                continue
            run = self._handles.pop(handle)
            end = _unbegun(handle, outcome) if isinstance(outcome, Short) else outcome
            # its keeper has seen to it; it is looked at once more
            if end is outcome and end.kind not in {"succeeded", "failed"}:
                end_what_is_left(handle.run_dir.path)
            self._send(
                {
                    "event": "ended",
                    "run": run,
                    "attempt": handle.attempt,
                    "outcome": end.to_json(),
                }
            )

    def _changes(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of the asked runs has changed since what was last asked for came home."""
        if message["home"]:
            self._ledger.came_home()
        changes: list[Change] = []
        vanished: list[list[Any]] = []
        for run_id in message["runs"]:
            files = look(self._experiment.run_dir(self._runs[run_id]).path)
            new, missing = self._ledger.offer(run_id, files, self._until(run_id, message["large"]))
            changes += [change for change in new if comes_home(self._experiment.file, change.path)]
            vanished += [[run_id, path] for path in missing]
        parcel = self._parcel(changes)
        inside = {(packed.run, packed.path) for packed in parcel}
        changed = [
            [change.run, change.path, change.size]
            for change in changes
            if (change.run, change.path) not in inside
        ]
        return {
            "changed": changed,
            "gone": vanished,
            "parcel": [packed.to_json() for packed in parcel],
        }

    def _parcel(self, changes: Iterable[Change]) -> list[Packed]:
        """Return those of the changed files that come home in the answer."""
        parcel: list[Packed] = []
        room = PARCEL_BYTES
        for change in changes:
            if change.size > min(room, FILE_BYTES):
                continue
            run_dir = self._experiment.run_dir(self._runs[change.run])
            packed = Packed.of(change.run, run_dir, change.path)
            if packed is not None:
                parcel.append(packed)
                room -= len(packed.data)
        return parcel

    def _until(self, run_id: str, large: bool) -> int | None:
        """Return up to which time of change large files of a run are offered; None: whatever that
        is.
        """
        if run_id not in self._handles.values():  # it has ended
            return None
        return time.time_ns() - _SETTLED if large else 0

    def _forget(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Remove the directories of runs that have ended and are home; what is not to come home
        stays in them, and so does all of those that could not be brought (`kept`).
        """
        for run_id in message["runs"]:
            self._ledger.forget(run_id)
            run_dir = self._experiment.run_dir(self._runs[run_id])
            if run_dir.run_file.exists():
                if is_claimed(run_dir):
                    raise Busy(f"{run_dir.path} is still being executed")
                leave(run_dir, self._experiment.file, run_id not in message["kept"])
        return {}

    def _remove(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Have everything removed at the end, unless something still runs here."""
        del message
        dirs = [self._experiment.run_dir(run) for run in self._runs.values()]
        self.removes = not any(is_claimed(run_dir) for run_dir in dirs if run_dir.run_file.exists())
        self.leftovers = [
            run_dir for run_dir in dirs if run_dir.path.is_dir() and not run_dir.run_file.exists()
        ]
        return {"left": len(self.leftovers)}


def _wait_for_record(run_dir: RunDir, attempt: int) -> None:
    """Wait for a keeper that has claimed the run just now to write who it is."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        record = run_dir.read_attempt()
        if (record is not None and record.attempt >= attempt) or not is_claimed(run_dir):
            return
        time.sleep(0.02)


def main(argv: Sequence[str]) -> int:
    """Carry out `runslot serve EXPERIMENT`: talk on standard input and output until the input
    ends.
    """
    parser = argparse.ArgumentParser(
        prog="runslot serve", description="The remote end of a launcher over ssh."
    )
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", help="a directory that a launcher brought here"
    )
    options = parser.parse_args(argv)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints here is no answer
    first = _first(sys.stdin.buffer)
    if first is None:
        return 0
    directory = ExperimentDir(Path(os.path.abspath(options.experiment)))  # noqa: PTH100  as brought, links not followed
    try:
        with be_the_only_one(directory.path):
            environment = {**os.environ, **first["environment"]}
            experiment = OpenExperiment.as_worker(directory, "agent", environment, moved=True)
            agent = Agent(experiment, sys.stdin.buffer, out)
            agent.open(first)
            agent.serve()
            experiment.close()
            if agent.removes:
                remove_all_but(
                    Path(os.path.normpath(directory.path / experiment.file.runs_root)),
                    agent.leftovers,
                )
    except RunslotError as error:
        out.write(encode({"id": first["id"], "failed": str(error)}))
        out.flush()
        return 2
    return 0


def _first(requests: BinaryIO) -> dict[str, Any] | None:
    for line in iter(requests.readline, b""):
        message = decode(line)
        if message is not None:
            return message
    return None


def _unbegun(handle: Handle, short: Short) -> Outcome:
    """Return the outcome of a run that this host was too short of something to begin."""
    message = f"could not be started: {short.by}"
    return Outcome("lost", handle.attempt, ended=time.time(), message=message)
