"""Look on at a launch of another process: its journal, as it grows, told as events.

A launch that goes on without its terminal: a process in a session of its own, which prints into
`launcher.log`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from runslot.engines.events import (
    LaunchEnded,
    LaunchEvent,
    LaunchLeft,
    LaunchStarted,
    Observer,
    RunDropped,
    RunEnded,
    RunsAdded,
    RunStarted,
    RunWaits,
    Said,
    StopNoted,
)
from runslot.errors import InvalidInput, RunslotError, refusals
from runslot.execute.spawn import start_code
from runslot.experiment.files import open_to_append
from runslot.experiment.journal import JournalReader
from runslot.experiment.lock import living_launcher
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.states import UNDER_WAY
from runslot.experiment.status import read_status
from runslot.hardware.slots import Slot
from runslot.launch.launch import launch
from runslot.launch.printer import Printer, pause_said

_LOOK = 0.2
"""Seconds between looks at the journal, which may lie on a network disk."""


def attach(directory: ExperimentDir, observer: Observer, replay: bool) -> None:
    """Tell `observer` of the launch under way until it ends; with `replay` also which of its runs
    have ended already.

    `InvalidInput` where no launcher is at work.
    """
    if living_launcher(directory) is None:
        status = read_status(directory)
        is_under_way = bool({entry.state for entry in status.runs} & UNDER_WAY)
        is_left = is_under_way and status.file.launcher is not None  # to a queue, or to pilots
        advice = " --wait` looks on to its end" if is_left else "` runs what is missing"
        raise InvalidInput(
            f"no launcher is at work on {directory.path}; `runslot status {directory.path}` shows"
            f" how its runs stand, `runslot resume {directory.path}{advice}"
        )
    journal = JournalReader(directory.journal_file)
    translator = _Translator(directory)
    for event in translator.so_far(journal.read(), replay):
        observer(event)
    while not translator.ended:
        alive = (
            living_launcher(directory) is not None
        )  # before the last look at the journal, so that nothing is missed
        for line in journal.read():
            for event in translator.translate(line):
                observer(event)
        if not alive:
            break
        time.sleep(_LOOK)
    if not translator.ended:
        observer(
            Said(
                f"the launcher is gone, its runs go on; `runslot resume {directory.path}` takes"
                " over"
            )
        )


class _Translator:
    """Lines of the journal, as the events that their launcher's observer was told."""

    def __init__(self, directory: ExperimentDir) -> None:
        self._directory = directory
        self._file = directory.read()
        self._runs = {run.id: run for run in directory.read_runs()}
        self._under_way: set[str] = set()
        self._adopted: set[tuple[str, int]] = set()
        """Runs that were said to run, and their attempts."""
        self.ended = False

    def so_far(self, lines: Iterator[Mapping[str, Any]], replay: bool) -> Iterator[LaunchEvent]:
        """Yield what has happened in this launch, in brief: what it is about, what has ended, what
        runs.
        """
        before: list[Mapping[str, Any]] = []
        launch: list[Mapping[str, Any]] = []
        for line in lines:
            if line["event"] == "launcher_started":
                before += launch
                launch = []
            launch.append(line)
        if not launch:  # it is about to begin
            return
        yield self._started(launch[0], before)
        for line in launch[1:] if replay else ():
            if line["event"] in {"ended", "dropped"}:
                yield from self.translate(line)
        for status in read_status(self._directory).runs:
            if status.state == "running":
                self._under_way.add(status.run.id)
                self._adopted.add((status.run.id, status.attempts))
                path = self._directory.run_dir(status.run, self._file).path
                yield RunStarted(status.run, path, status.attempts, status.slot, adopted=True)
        for line in launch[1:]:
            # at this moment: its lock is there still
            if line["event"] in {
                "launcher_ended",
                "launcher_left",
            }:
                yield from self.translate(line)

    def translate(self, line: Mapping[str, Any]) -> Iterator[LaunchEvent]:
        """Yield the event of one line, if it has one."""
        match line["event"]:
            # Between the journal and the status, which had it already.
            case "start" if (line["run"], line["attempt"]) in self._adopted:
                pass
            case "start" | "ended" | "dropped" | "slot_taken" | "waits":
                if line["run"] not in self._runs and self._file.search is not None:
                    yield self._added()
                if line["run"] in self._runs:  # else of a list of runs that was damaged since
                    yield self._of_run(self._runs[line["run"]], line)
            case "request":
                yield self._request(line["verb"], line["arguments"])
            case "launcher_started":
                yield self._started(line, ())
            case "launcher_ended":
                self.ended = True
                yield LaunchEnded(self._directory.path, line["counts"])
            case "launcher_left":
                self.ended = True
                yield LaunchLeft(self._directory.path, line["runs"])
            case _:
                pass

    def _added(self) -> RunsAdded:
        """Take in the runs that a search has added to the list since it was read."""
        added = tuple(run for run in self._directory.read_runs() if run.id not in self._runs)
        self._runs |= {run.id: run for run in added}
        return RunsAdded(added)

    def _of_run(self, run: Run, line: Mapping[str, Any]) -> LaunchEvent:
        path = self._directory.run_dir(run, self._file).path
        if line["event"] == "start":
            self._under_way.add(run.id)
            return RunStarted(run, path, line["attempt"], line.get("slot"))
        if line["event"] == "waits":
            return RunWaits(run, line.get("slot"), line.get("by", ""))
        self._under_way.discard(run.id)
        if line["event"] == "ended":
            return RunEnded(run, path, Outcome.from_json(line["outcome"]), line.get("retry", False))
        if line["event"] == "slot_taken":
            return RunWaits(run, line["slot"], line.get("by", ""))
        return RunDropped(run, line["why"])

    def _request(self, verb: str, runs: Sequence[str]) -> LaunchEvent:
        if verb in {"pause", "continue"}:
            return Said(pause_said(verb == "pause", self._file.name))
        stopping = self._under_way & set(runs) if runs else self._under_way
        return StopNoted(verb == "kill", len(stopping), self._file.policy.grace)

    def _started(
        self, line: Mapping[str, Any], before: Sequence[Mapping[str, Any]]
    ) -> LaunchStarted:
        ended = {event["run"] for event in before if event["event"] == "ended"}
        # Which runs the launch is about, its line does not say; what never ended comes first.
        count = line.get("runs") if self._file.search is None else None
        runs = sorted(self._runs.values(), key=lambda run: run.id in ended)[:count]
        slots = tuple(
            Slot(line.get("host", ""), index, (), ()) for index in range(line.get("slots") or 0)
        )
        slots_text = line.get("slots_said") or f"{len(slots)} slots"
        kept_count = len(self._runs) - len(runs)
        search = "" if self._file.search is None else self._file.space
        where = (self._file.name, self._directory.path)
        return LaunchStarted(*where, tuple(runs), kept_count, slots, slots_text, search)


# ---- without a terminal --------------------------------------------------------------------------


_START = start_code("launch.attach", "main", only_ours=True)


def launch_detached(
    directory: ExperimentDir, say: Callable[[str], None], **options: Any
) -> int | None:
    """Launch an experiment that is on disk in a process of its own, and return its pid once runs
    may start.

    `options` is what `launch` takes, as JSON values; `say` is told what the launch has to say until
    then. None where there is nothing to do. Raises `InvalidInput` where the launch is refused.
    """
    directory.require_own()
    reader_fd, writer_fd = os.pipe()
    with os.fdopen(open_to_append(directory.launcher_log), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(directory.path), str(writer_fd)],
            stdin=subprocess.PIPE,  # for `how`: it may hold a secret, and others see a command line
            stdout=log,
            stderr=log,
            pass_fds=[writer_fd],
            start_new_session=True,
        )
    os.close(writer_fd)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(json.dumps(options).encode())
    try:
        with os.fdopen(reader_fd) as lines:
            return process.pid if _listen(lines, directory, say, process) else None
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


def _listen(
    lines: Any,
    directory: ExperimentDir,
    say: Callable[[str], None],
    process: subprocess.Popen[bytes],
) -> bool:
    """Return whether the launch has begun; False where there was nothing to do."""
    for line in lines:
        message: Mapping[str, str] = json.loads(line)
        if "started" in message:
            say(message["started"])
            return True
        if "refused" in message:
            process.wait()
            raise InvalidInput(message["refused"])
        say(message["said"])
    if process.wait() != 0:
        raise RunslotError(
            f"the launcher ended before its first run; look at {directory.launcher_log}"
        )
    return False


class _Teller:
    """Prints every event, and tells who started this process what happens until the launch has
    begun.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._print = Printer()

    def __call__(self, event: LaunchEvent) -> None:
        """Take note of the event."""
        self._print(event)
        if isinstance(event, Said):
            self.tell("said", event.text)
        elif isinstance(event, LaunchStarted):
            self.tell(
                "started", f"{event.experiment}: {len(event.runs)} runs in {event.slots_said}"
            )
            self.close()

    def tell(self, word: str, text: str) -> None:
        """Send one line, if anyone listens still."""
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, json.dumps({word: text}).encode() + b"\n")
            except BrokenPipeError:  # killed while it waited; the launch was asked for all the same
                self.close()

    def close(self) -> None:
        """Tell nothing further."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def main() -> None:
    """Launch, as the process that `launch_detached` started."""
    path, descriptor = sys.argv[1:]
    options = json.loads(sys.stdin.read())
    os.set_inheritable(int(descriptor), False)  # or the templates would keep it open
    teller = _Teller(int(descriptor))
    try:
        with refusals():
            launch(ExperimentDir(path), teller, **options)
    except RunslotError as error:
        print(f"runslot: {error}", file=sys.stderr)
        teller.tell("refused", str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
