"""The commands of a batch system, called here or on a login host; and what their refusals mean.

Every command that fails is an error that names the engine, the host and the command. A batch system
is a subclass: what its commands are, and what they print.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from runslot.engines.batch.submissions import job_name
from runslot.engines.batch.task import Task
from runslot.errors import InvalidInput, NotInstalled, RunslotError
from runslot.experiment.processes import host_name
from runslot.transport.ssh import Host, HostError

COMMAND_TIMEOUT_S = 120.0
"""For one command: a busy controller takes its time."""
_LOOK_AGAIN_S = 5.0
"""Until a job is looked for again of which it is not known whether it was taken."""

Jobs = Mapping[str, str | None]
"""By the names of jobs, which no other jobs have: their ids, or None where they are not known."""


class BatchError(RunslotError):
    """A command of a batch system failed, or could not be called."""

    def __init__(self, where: str, command: str, reason: str, retry: bool = False) -> None:
        super().__init__(f"{where}: {reason} (command: {command})")
        self.reason = reason
        self.retry = retry
        """Whether the system may answer later."""


class RefusedJob(BatchError, InvalidInput):
    """The system will not have the job as it is asked for."""


class SubmitLimit(RefusedJob):
    """The user has as many jobs there as a limit lets, or the array has more tasks than fit."""


class BatchCluster(ABC):
    """The commands of one cluster; over ssh where there is a login host."""

    title: ClassVar[str]
    """The system's name, for people."""
    word: ClassVar[str]
    """The directory of its submissions."""
    programs: ClassVar[tuple[str, ...]]
    """The commands that are needed; the first one submits."""
    variables: ClassVar[str]
    """With what the variables begin that a job has: what this process was given by a job of its own
    is not meant for the jobs that it submits.
    """
    kept_variables: ClassVar[tuple[str, ...]]
    """Those of them that say which cluster is meant."""
    set_variables: ClassVar[tuple[str, ...]] = ()
    """As `env` takes them, for every command."""
    kills_all: ClassVar[bool] = True
    """Whether `cancel` with `kill` ends all processes of a task at once, those of other sessions
    included.
    """
    excludes_nodes: ClassVar[bool] = False
    """Whether a node that cannot do a task has another one do it, by the script."""
    away: ClassVar[re.Pattern[str]]
    """What is said where the system cannot be reached now."""
    unsure: ClassVar[re.Pattern[str]]
    """The system may have taken the job, and only its answer was lost."""
    submit_limit: ClassVar[re.Pattern[str]]
    """What is said where a user has too many jobs, also where only a smaller array would fit."""
    reasons: ClassVar[tuple[tuple[str, str], ...]]
    """What it says where it refuses a job for good, and what that means."""

    def __init__(
        self, name: str, host: Host | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.host = host
        variables = os.environ if environment is None else environment
        self._environment = {
            key: value
            for key, value in variables.items()
            if not key.startswith(self.variables) or key in self.kept_variables
        }

    @property
    def where(self) -> str:
        """The host on which commands are called."""
        return host_name() if self.host is None else self.host.name

    @property
    def _said(self) -> str:
        return f"launcher {self.name} ({self.title}), host {self.where}"

    # ---- commands --------------------------------------------------------------------------------

    def has(self, program: str) -> bool:
        """Tell whether a command is there."""
        if self.host is None:
            return shutil.which(program, path=self._environment.get("PATH")) is not None
        return self.host.run(["sh", "-c", f"command -v {shlex.quote(program)}"]).returncode == 0

    def call(self, argv: Sequence[str], directory: str | None = None, stdin: str = "") -> str:
        """Call a command, in a directory, and return what it printed; `BatchError` where it
        fails.
        """
        process = self.run(argv, directory, stdin)
        if process.returncode == 0:
            return process.stdout.decode(errors="replace")
        raise self.error(argv, process)

    def run(
        self, argv: Sequence[str], directory: str | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        """Call a command, and return how it ended."""
        command = ["env", *self.set_variables, *argv]
        data = stdin.encode("utf-8", "surrogateescape")
        if self.host is not None:
            if directory is not None:
                command = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", directory, *command]
            return self.host.run(command, data, timeout=COMMAND_TIMEOUT_S)
        try:
            return subprocess.run(
                command,
                cwd=directory,
                env=self._environment,
                input=data,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
                start_new_session=True,  # Ctrl-C in the terminal is the launcher's to hear
            )
        except subprocess.TimeoutExpired as error:
            lines = (error.stderr or b"").decode(errors="replace").strip().splitlines()
            words = f" ({lines[-1].strip()})" if lines else ""
            reason = f"no answer within {COMMAND_TIMEOUT_S:g} s{words}; timed out"
            raise BatchError(self._said, shlex.join(argv), reason, retry=True) from None

    def error(
        self, argv: Sequence[str], process: subprocess.CompletedProcess[bytes]
    ) -> RunslotError:
        """Return the error of a command that failed."""
        text = (process.stderr + process.stdout).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        reason = "; ".join(dict.fromkeys(lines[-3:])) or f"exit code {process.returncode}"
        command = shlex.join(argv)
        if process.returncode == 127 or (process.returncode == 126 and "env:" in text):
            return self.missing(argv[0])
        if self.away.search(text):
            return BatchError(
                self._said, command, f"{self.title} cannot be reached ({reason})", retry=True
            )
        if self.submit_limit.search(text):
            meaning = "a limit of your account lets no more jobs in"
            return SubmitLimit(self._said, command, f"{meaning} ({reason})")
        for pattern, meaning in self.reasons:
            if re.search(pattern, text):
                return RefusedJob(self._said, command, f"{meaning} ({reason})")
        return BatchError(self._said, command, reason)

    def missing(self, program: str) -> NotInstalled:
        """Return the error of a machine without the system's commands."""
        return NotInstalled(
            f"{self._said}: there is no {program} on PATH; launch on a login "
            'node of the cluster, or name one: login = "HOST" in the launcher\'s table'
        )

    def close(self) -> None:
        """Close the connection to the login host."""
        if self.host is not None:
            self.host.close()

    # ---- what they are for -----------------------------------------------------------------------

    def job_name(self, experiment: str) -> str:
        """Return a name for a new job of an experiment."""
        return job_name(experiment, secrets.token_hex(4))

    @abstractmethod
    def array_size(self) -> int:
        """Return how many tasks an array may have."""

    def test(self, script: str) -> None:  # noqa: B027  a system may have no such question
        """Ask whether a script, given as its text, would be taken; `RefusedJob` where it can never
        be.
        """

    @abstractmethod
    def submit_command(self, script: str) -> list[str]:
        """Return the command that submits a script."""

    @abstractmethod
    def read_submitted(self, text: str) -> str:
        """Return the job's id from what that command printed; `ValueError` where there is none."""

    def submit_text(self, script: str) -> str:
        """Submit a script that is given as its text, and return the job's id; `ValueError` where
        none is told.
        """
        argv = self.submit_command("")[:-1]
        return self.read_submitted(self.call(argv, stdin=script))

    @abstractmethod
    def queue(self, jobs: Jobs) -> list[Task]:
        """Return what is said of all tasks of these jobs, those that have just ended included."""

    def history(self, jobs: Collection[str]) -> list[Task]:
        """Return what is kept of jobs, by their ids, that the queue has forgotten."""
        del jobs
        return []

    @abstractmethod
    def cancel(self, tasks: Mapping[str, Collection[int]], jobs: Jobs, kill: bool = False) -> None:
        """End tasks, by the ids of their jobs, or whole jobs (no indices); those that have ended
        are no error.

        Only jobs that the system has under one of the names in `jobs`: ids that stand in files are
        words.
        """

    def submit(self, script: str, job_name: str, directory: str) -> str:
        """Submit a script that lies in `directory` and return the job's id, also where the answer
        was lost.
        """
        argv = self.submit_command(script)
        try:
            printed = self.call(argv, directory)
        except (BatchError, HostError) as error:
            is_cut = isinstance(error, HostError)  # the connection, or the answer alone
            if not (error.retry and (is_cut or self.unsure.search(error.reason))):
                raise
            job = self.find(job_name)
            if job is None:
                raise
            return job
        try:
            return self.read_submitted(printed)
        except ValueError:
            tail = printed.strip()[-300:]
            raise BatchError(
                self._said, shlex.join(argv), f"it printed no job id: {tail!r}"
            ) from None

    def find(self, job_name: str, looks: int = 3) -> str | None:
        """Return the id of a job by its name, which no other has; looked for several times, since
        it may just come.
        """
        for look in range(looks):
            if look:
                time.sleep(_LOOK_AGAIN_S)
            try:
                tasks = self.queue({job_name: None})
            except (BatchError, HostError) as error:
                if not error.retry or look == looks - 1:
                    raise
                continue
            if tasks:
                return tasks[0].job
        return None
