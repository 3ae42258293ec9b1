"""Launches that do not wait: all of a process share one supervisor, in a thread, until the script's
end.

For launchkit's loops: each call submits its runs and returns, the machine's slots fill up, and at
its end the script waits for all of them.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading

from runslot.engines.events import LaunchEnded, LaunchEvent, Observer, Said
from runslot.engines.local.config import check_function, choose_slots, end_lost, recarver_of
from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Launcher
from runslot.engines.registry import of_experiment
from runslot.errors import RunslotError
from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.launch import (
    Outcomes,
    outcomes_of,
    refuse_fresh,
    work_out,
)
from runslot.launch.share import Share
from runslot.launch.supervisor import Supervisor
from runslot.scheduler import StopAsked


class Submitted:
    """An experiment that runs while the script goes on."""

    def __init__(self, directory: ExperimentDir, ended: threading.Event, session: Session) -> None:
        self.directory = directory.path
        """The experiment's directory."""
        self._experiment = directory
        self._ended = ended
        self._session = session

    @property
    def done(self) -> bool:
        """Whether all its runs have ended."""
        return self._ended.is_set()

    def wait(self) -> Outcomes:
        """Wait for its runs and return their outcomes; on Ctrl-C all runs of the script are
        stopped.
        """
        self._session.wait_for(self._ended)
        return outcomes_of(self._experiment)


class Session:
    """One supervisor, one launcher, and the thread that runs them while there is something to
    do.
    """

    def __init__(self, launcher: Launcher, slots_said: str, observer: Observer) -> None:
        self.launcher = launcher
        self.supervisor = Supervisor(launcher, self._told)
        self._slots_said = slots_said
        self._observer = observer
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: dict[str, threading.Event] = {}
        self._interrupts = 0
        """How often its runs were asked to stop since the last was submitted."""
        self._failure: BaseException | None = None

    def take(self, experiment: OpenExperiment) -> Submitted:
        """Have the missing runs of an experiment done that is open."""
        directory = experiment.directory
        status = read_status(directory)
        end_lost(status)
        try:
            todo = work_out(status)
        except BaseException:
            experiment.close()
            raise
        ended = threading.Event()
        with self._lock:
            self._waiting[str(directory.path)] = ended
            self._interrupts = 0
            self.supervisor.add(
                Share(
                    experiment,
                    todo.start,
                    todo.attempts,
                    todo.adopt,
                    todo.kept_count,
                    self._slots_said,
                )
            )
            if self._thread is None:
                # A daemon: the interpreter would otherwise join it before the exit handler can
                # listen for Ctrl-C.
                self._thread = threading.Thread(target=self._run, name="runslot", daemon=True)
                self._thread.start()
        return Submitted(directory, ended, self)

    def wait_for(self, ended: threading.Event) -> None:
        """Wait, and on Ctrl-C stop all runs of the script (again: kill them) before it is
        raised.
        """
        was_interrupted, is_over = False, False
        while not is_over:
            try:
                is_over = ended.wait()
            except KeyboardInterrupt:
                was_interrupted = True
                for session in _sessions:
                    session.interrupt()
        if was_interrupted:
            raise KeyboardInterrupt
        if self._failure is not None:
            raise RunslotError(
                f"the launcher of this script failed: {self._failure}"
            ) from self._failure

    def wait_for_all(self) -> bool:
        """Wait for everything that was submitted, also after Ctrl-C; tell whether there was one."""
        was_interrupted = False
        for ended in list(self._waiting.values()):
            try:
                self.wait_for(ended)
            except KeyboardInterrupt:
                was_interrupted = True
        return was_interrupted

    def stop(self) -> None:
        """Ask all its runs to stop, unless they have been asked."""
        if not self._interrupts:
            self.interrupt()

    def interrupt(self) -> None:
        """Ask all its runs to stop; again: kill them."""
        if all(ended.is_set() for ended in self._waiting.values()):
            return  # or it would be what is submitted next that is stopped
        self._interrupts += 1
        self.supervisor.ask(StopAsked(None, kill=self._interrupts > 1))

    def _told(self, event: LaunchEvent) -> None:
        """Pass an event on, and note experiments that ended."""
        self._observer(event)
        if isinstance(event, LaunchEnded):
            self._waiting[str(event.directory)].set()

    def _run(self) -> None:
        try:
            while True:
                self.supervisor.run()
                with self._lock:
                    if self.supervisor.idle:
                        self._thread = None
                        return
        except BaseException as error:  # noqa: BLE001  the thread has no caller: whoever waits is told
            self._failure = error
            for ended in self._waiting.values():
                ended.set()


_UNKNOWN = 1000
"""For how many runs slots are cut where nobody knows how many calls follow: one GPU, or one core,
for each.
"""


class MachineSession(Session):
    """A session in slots of this machine, which many experiments share."""

    def __init__(self, launcher: LocalLauncher, slots_said: str, observer: Observer) -> None:
        super().__init__(launcher, slots_said, observer)
        self._machine = launcher

    def submit(self, directory: ExperimentDir, fresh: bool) -> Submitted:
        """Have the missing runs of an experiment done here, behind those that were submitted
        before.
        """
        experiment = OpenExperiment.open(directory, dict(os.environ))
        try:
            check_function(self._machine, experiment)
        except BaseException:
            refuse_fresh(experiment, fresh)
            raise
        return self.take(experiment)


_machine_sessions: dict[str, MachineSession] = {}
"""By what decides the slots; the documented exception to having no global state, as is the current
run.
"""

_sessions: list[Session] = []
"""All of this process, those of other engines too."""


def submit(directory: ExperimentDir, fresh: bool, observer: Observer) -> Submitted:
    """Submit an experiment's missing runs to this process's session for its kind of resources.

    The number of runs is not known, so that a slot is one GPU, or one core, unless the resources
    say otherwise.
    """
    file = directory.read()
    if file.launcher is not None:
        return _submit_elsewhere(directory, fresh, observer)
    key = f"{file.resources} {file.affinity_code}"
    session = _machine_sessions.get(key)
    if session is None:
        session = _machine_sessions[key] = _new_session(directory, file, observer)
        _remember(session)
    return session.submit(directory, fresh)


def _remember(session: Session) -> None:
    if not _sessions:
        atexit.register(_wait_at_exit)
    _sessions.append(session)


def _submit_elsewhere(directory: ExperimentDir, fresh: bool, observer: Observer) -> Submitted:
    """Open the experiment's own engine, in a session of its own: what other calls hold there is
    waited for.
    """
    experiment = OpenExperiment.open(directory, dict(os.environ))
    try:
        configured = of_experiment(experiment.file)
        assert configured is not None
        experiment.starting = read_status(directory).counts.get("queued")
        engine = configured.open(experiment, _UNKNOWN, observer)
    except BaseException:
        refuse_fresh(experiment, fresh)
        raise
    session = Session(engine.launcher, engine.slots_said, observer)
    _remember(session)
    return session.take(experiment)


def _new_session(
    directory: ExperimentDir, file: ExperimentFile, observer: Observer
) -> MachineSession:
    slots, slots_text = choose_slots(file, None, lambda line: observer(Said(line)))
    launcher = LocalLauncher(
        slots, directory.launcher_log, lambda text: observer(Said(text)), recarver_of(file, None)
    )
    return MachineSession(launcher, slots_text, observer)


def _wait_at_exit() -> None:
    interrupted = (
        getattr(sys, "last_type", None) is KeyboardInterrupt
    )  # Ctrl-C in the script, between its calls
    if interrupted:
        for session in _sessions:
            session.stop()
    for session in list(_sessions):
        try:
            interrupted = session.wait_for_all() or interrupted
        finally:
            session.launcher.close()
    if interrupted:
        _end_as_interrupted()


def _end_as_interrupted() -> None:
    """End this process by SIGINT: its exit status can no longer be chosen, and must not say that
    all went well.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
