"""The launcher's ends of template processes and of the keepers forked from them, and which template
a run is forked from.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Protocol

from runslot.errors import InvalidInput, RunslotError
from runslot.execute.channel import Channel
from runslot.execute.placement import activated
from runslot.execute.spawn import PACKAGE, original_limit, room, start_code
from runslot.experiment.files import open_to_append
from runslot.experiment.processes import ProcessIdentity, boot_id, host_name
from runslot.experiment.records import ExperimentFile, Function, PythonEnvironment, RunFile
from runslot.experiment.rundir import RunDir
from runslot.record import record

_LOOK_S = 0.05
"""Between looks whether a template has ended without a word."""
_ANSWER_S = 5.0
"""After which a template that has not answered may have been stopped (SIGSTOP), and is told to go
on.
"""


class ProcessDied(RunslotError):
    """A template or a keeper ended when it was asked something; a new one can be started."""

    retry = True


_early: dict[tuple[str, bool], TemplateProcess] = {}
"""Started before it was known what for (`TemplateProcess.expect`), by the interpreter and whether
it is bare.
"""


class Process(Protocol):
    """What a template's launcher needs of the process that it started, as of a `Popen`."""

    returncode: Any

    def poll(self) -> int | None:
        """Return how it ended, or None."""

    def wait(self) -> int:
        """Wait for its end, and return how it ended."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""


def _console(log: Path | None) -> IO[bytes]:
    """Open what a template prints into; it is nobody's where the experiment that named it was
    moved, or was refused and removed again.
    """
    try:
        return os.fdopen(open_to_append(log or os.devnull), "ab")
    except FileNotFoundError:
        return os.fdopen(open_to_append(os.devnull), "ab")


class TemplateProcess:
    """One template process, bare or with a function imported."""

    def __init__(self, channel: Channel, process: Process) -> None:
        self._channel = channel
        self._process = process

    @classmethod
    def start(
        cls,
        python: str,
        log: Path | None,
        bare: bool,
        interpreter: PythonEnvironment | None = None,
    ) -> TemplateProcess:
        """Start one in an interpreter of its own.

        `interpreter` is the environment of a Python that is not this one: it has runslot as one
        file alone.
        """
        package = PACKAGE
        if interpreter is not None:
            # Not the one of `interpreter`, which an earlier launch wrote: another version's may
            # speak otherwise.
            from runslot.transport.zipapp import cached_archive

            package = str(cached_archive())
        channel, far_end = Channel.pair()
        words = (far_end.fileno(), package, original_limit())
        code = start_code("execute.template", "main", *words, package=package)
        # Without site packages the interpreter, and so each of its forks, stays small; a user's
        # module needs them.
        flags = ["-S", "-E"] if bare else []
        argv = [python, *flags, "-c", code]
        try:
            with far_end, _console(log) as console:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    pass_fds=[far_end.fileno()],
                    env={**activated(os.environ, interpreter), **room()},
                    start_new_session=True,
                )
        except BaseException:
            channel.close()
            raise
        return cls(channel, process)

    @classmethod
    def expect(cls, python: str, bare: bool) -> None:
        """Start one that `begin` will ask for soon: it gets ready meanwhile, and ends with this
        process if not.
        """
        if (python, bare) in _early:
            return
        with contextlib.suppress(OSError):  # no processes, no files: said where it is needed
            _early[python, bare] = cls.start(python, None, bare)

    def wait_for(self, python: str, bare: bool) -> None:
        """Be what `begin` returns next for this interpreter."""
        self.withdraw(python, bare)
        _early[python, bare] = self

    @staticmethod
    def withdraw(python: str, bare: bool) -> None:
        """End the one that waits for `begin`, if any does."""
        if (early := _early.pop((python, bare), None)) is not None:
            early.close()

    @classmethod
    def begin(
        cls, python: str, log: Path | None, bare: bool, interpreter: PythonEnvironment | None = None
    ) -> TemplateProcess:
        """Return a template whose output goes to `log`."""
        early = _early.pop((python, bare), None) if interpreter is None else None
        if early is None:
            return cls.start(python, log, bare, interpreter)
        try:
            with _console(log) as console:
                early._ask({"verb": "print"}, [console.fileno()])
        except BaseException as error:
            early.close()
            if not isinstance(error, ProcessDied):
                raise
            return cls.start(python, log, bare)
        return early

    def import_function(
        self,
        function: Function,
        home: Path,
        path: Sequence[str],
        cwd: str,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[str, tuple[str, ...]]:
        """Import the function; return why forks of it are not cold starts, or an empty string, and
        what they renew.

        Raises `InvalidInput` with the end of the traceback where the import fails.
        """
        answer = self._ask(
            {
                "verb": "import",
                "function": function.to_json(),
                "home": str(home),
                "path": list(path),
                "cwd": cwd,
                "environment": dict(environment),
            }
        )
        return str(answer["unsafe"]), tuple(answer["renewed"])

    def fork_keeper(self) -> KeeperProcess:
        """Fork a keeper."""
        channel, far_end = Channel.pair()
        try:
            with far_end:
                answer = self._ask({"verb": "keeper"}, [far_end.fileno()])
        except BaseException:
            channel.close()
            raise
        process = ProcessIdentity(host_name(), boot_id(), answer["pid"], answer["start_time"] or 0)
        return KeeperProcess(channel, process)

    def close(self) -> None:
        """End the template; its keepers go on, and as long as they have runs it stays as their
        guardian.
        """
        self._channel.finish()
        stays = self._stays()
        self._channel.close()
        if stays:
            self._process.returncode = (
                0  # it is on its own now: nobody waits for it, nor warns that it runs
            )
        else:
            self._process.wait()

    def _stays(self) -> bool:
        # Its end of the channel may be open in what the user's module forked at its import: no end
        # of file comes then.
        while self._process.poll() is None:
            if select.select([self._channel], [], [], _LOOK_S)[0]:
                answer = self._channel.receive()[0]
                if answer is None or "stays" in answer:
                    return answer is not None and bool(answer["stays"])
            else:
                self._process.send_signal(
                    signal.SIGCONT
                )  # one that was stopped would never end, nor this launcher
        return False

    def _ask(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        answer = None
        if self._channel.send(message, descriptors):
            while (
                not select.select([self._channel], [], [], _ANSWER_S)[0]
                and self._process.poll() is None
            ):
                self._process.send_signal(
                    signal.SIGCONT
                )  # one that was stopped keeps its launcher from every request
            answer = self._channel.receive()[0]
        if answer is None:
            ended = self._process.wait()
            end = signal.Signals(-ended).name if ended < 0 else f"exit code {ended}"
            raise ProcessDied(f"the process that was to {message['verb']} ended with {end}")
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        if "failed" in answer:
            raise InvalidInput(answer["failed"])
        return answer


class KeeperProcess:
    """One keeper process, which executes one run at a time."""

    def __init__(self, channel: Channel, process: ProcessIdentity) -> None:
        self.process = process
        self.signalled = False
        """Whether it was sent a signal: one that came too late would hit the next run, so there is
        none.
        """
        self._channel = channel
        self._environments: list[Mapping[str, str]] = []

    def fileno(self) -> int:
        """Return the descriptor that is ready when a run has ended."""
        return self._channel.fileno()

    def start(
        self,
        run_dir: Path,
        attempt: int,
        slot: Mapping[str, Any] | None,
        environment: Mapping[str, str],
        leases: Sequence[int] = (),
    ) -> None:
        """Have the run executed; `ProcessDied` where the keeper is gone."""
        message = {
            "run_dir": str(run_dir),
            "attempt": attempt,
            "slot": slot,
            **self._environment(environment),
        }
        if not self._channel.send(message, leases):
            raise ProcessDied("the keeper was killed")

    def answer(self) -> dict[str, Any] | None:
        """Return what it says of its run (`outcome`, `busy`, `failed`, `died`), or None while it
        executes.
        """
        if not select.select([self._channel], [], [], 0)[0]:
            return None
        message, _ = self._channel.receive()
        return {"died": True} if message is None else message

    def close(self) -> None:
        """Let it end, when the run that it may have is over."""
        self._channel.close()

    def _environment(self, environment: Mapping[str, str]) -> dict[str, Any]:
        for index, earlier in enumerate(self._environments):
            if earlier is environment:
                return {"environment": index, "values": None}
        self._environments.append(environment)
        return {"environment": len(self._environments) - 1, "values": dict(environment)}


@record
class Import:
    """A function that a template is to import, and how."""

    function: Function
    home: Path
    """The experiment directory."""
    python: str
    path: tuple[str, ...]
    cwd: str
    start: str
    interpreter: PythonEnvironment | None = None
    """The environment of `python`, where that is not the launching one."""
    selects_gpus: bool = True
    """Whether its runs see the GPUs of their slot alone."""

    @classmethod
    def of(cls, function: Function, file: RunFile | ExperimentFile, home: Path) -> Import:
        """Return what the file of a run, or of an experiment, says of its function."""
        return cls(
            function,
            home,
            file.python,
            file.path,
            file.cwd,
            file.policy.start,
            file.interpreter,
            file.gpu_visibility and file.affinity_code is None,
        )

    def content(self) -> str:
        """Return what is equal where one template serves two experiments: the same function, found
        in the same way.
        """
        pickle = "" if self.function.pickle is None else _digest(self.home / self.function.pickle)
        return repr(
            (
                self.function,
                pickle,
                self.python,
                self.path,
                self.cwd,
                self.start,
                self.interpreter,
                self.selects_gpus,
            )
        )


def _digest(path: Path) -> str:
    import hashlib  # with OpenSSL, which costs as much as ten modules of ours

    return hashlib.sha256(path.read_bytes()).hexdigest()


class Templates:
    """The templates of a launcher, by what they import; one that imports nothing is for commands
    and cold starts.
    """

    def __init__(
        self, log: Path | None, say: Callable[[str], None], gpus: Mapping[str, str]
    ) -> None:
        """`gpus` are the variables that select GPUs while a function is imported."""
        self._log = log
        self._say = say
        self._gpus = gpus
        self._templates: dict[str, TemplateProcess | None] = {}
        """None where the function cannot start warm."""
        self._contents: dict[tuple[Path, str], str] = {}

    def for_run(self, run_dir: RunDir, file: RunFile) -> TemplateProcess:
        """Return the one that forks the run's keeper: with its function imported, or bare."""
        function = file.work
        if (
            isinstance(function, Function)
            and file.policy.start != "cold"
            and file.container is None
        ):
            template = self.of(
                Import.of(function, file, Path(os.path.normpath(run_dir.path / file.home)))
            )
            if template is not None:
                return template
        bare = self._templates.get("")
        if bare is None:
            bare = self._templates[""] = TemplateProcess.begin(sys.executable, self._log, bare=True)
        return bare

    def of(self, imported: Import) -> TemplateProcess | None:
        """Return the one that has imported the function; None where it starts cold."""
        place = (imported.home, str(imported.function))
        if place not in self._contents:
            self._contents[place] = imported.content()
        key = self._contents[place]
        if key not in self._templates:
            template, unsafe, renewed = self._begin(imported)
            if unsafe and imported.start != "warm":
                self._say(f"{imported.function} starts in a new interpreter for each run: {unsafe}")
                template.close()
                self._templates[key] = None
            else:
                self._templates[key] = template
                if renewed:
                    self._say(f"{', '.join(renewed)}: made anew in each run (without a seed)")
        return self._templates[key]

    def _begin(
        self, imported: Import, again: bool = True
    ) -> tuple[TemplateProcess, str, tuple[str, ...]]:
        template = TemplateProcess.begin(
            imported.python, self._log, bare=False, interpreter=imported.interpreter
        )
        try:
            return template, *template.import_function(
                imported.function,
                imported.home,
                imported.path,
                imported.cwd,
                self._gpus if imported.selects_gpus else {},
            )
        except ProcessDied:
            template.close()
            if not again:
                raise
        except BaseException:
            template.close()
            raise
        return self._begin(imported, again=False)

    def forget(self, template: TemplateProcess) -> None:
        """Close one that has died, or may have."""
        template.close()
        self._templates = {
            key: other for key, other in self._templates.items() if other is not template
        }

    def close(self) -> None:
        """End them all."""
        for template in self._templates.values():
            if template is not None:
                template.close()
        self._templates.clear()
