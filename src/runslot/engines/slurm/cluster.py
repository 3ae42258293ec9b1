"""Slurm's own commands, called here or on a login host; and what their refusals mean.

Every command that fails is an error that names the engine, the host and the command.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from runslot.engines.slurm.queue import SACCT, SQUEUE, Task, read_limit, read_sacct, read_squeue, read_submitted
from runslot.errors import InvalidInput, NotInstalled, RunslotError
from runslot.experiment.processes import host_name
from runslot.hardware.lockfile import user_name
from runslot.transport.ssh import Host

DEFAULT_ARRAY_SIZE = 1001
_PATIENCE = 120.0
"""Seconds that a command may take: a busy controller takes many."""
_AGAIN = 5.0
"""Seconds until a job is looked for again of which it is not known whether it was taken."""

_AWAY = re.compile(
    r"Unable to contact slurm controller|Connection refused|Connection timed out|timed out on send/recv|"
    r"communication (connection )?failure|Slurm backup controller in standby|Zero Bytes were transmitted|"
    r"Resource temporarily unavailable|not responding",
    re.IGNORECASE,
)
_UNSURE = re.compile(r"timed out|Zero Bytes|communication", re.IGNORECASE)
"""The controller may have taken the job, and only its answer was lost."""
_REASONS: tuple[tuple[str, str], ...] = (
    (r"Invalid partition|invalid partition", "there is no such partition; `sinfo -s` lists them"),
    (r"Invalid account", "the account is not one that you may use here; `sacctmgr show assoc user=$USER` lists them"),
    (r"Invalid qos", "there is no such qos, or the account may not use it; `sacctmgr show qos` lists them"),
    (r"Invalid generic resource", "no node has such generic resources; `sinfo -o '%N %G'` lists them"),
    (r"Invalid feature", "no node has the features of `constraint`; `sinfo -o '%N %f'` lists them"),
    (
        r"time limit is invalid|--time specification",
        "the time limit is not one of this partition; `sinfo -s` lists them",
    ),
    (
        r"Requested node configuration is not available",
        "no node has as many CPUs, GPUs, or as much memory, as a task asks for",
    ),
    (r"Memory specification", "no node has as much memory as a task asks for"),
    (r"Job violates|QOSMax|AssocMax|AssocGrp|job submit limit", "a limit of your account forbids it"),
)
"""What Slurm says, and what it means."""


class SlurmError(RunslotError):
    """A command of Slurm failed, or could not be called."""

    def __init__(self, name: str, host: str, command: str, reason: str, retry: bool = False) -> None:
        super().__init__(f"launcher {name} (Slurm), host {host}: {reason} (command: {command})")
        self.reason = reason
        self.retry = retry
        """Whether Slurm may answer later."""


class Refused(SlurmError, InvalidInput):
    """Slurm will not have the job as it is asked for."""


class Cluster:
    """The commands of one cluster; over ssh where there is a login host."""

    def __init__(self, name: str, host: Host | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.host = host
        # What this process was given by a job of its own is not meant for the jobs that it submits.
        given = os.environ if environment is None else environment
        keep = ("SLURM_CONF", "SLURM_CLUSTERS")
        self._environment = {key: value for key, value in given.items() if not key.startswith("SLURM_") or key in keep}

    @property
    def where(self) -> str:
        """The host on which commands are called."""
        return host_name() if self.host is None else self.host.name

    # ---- commands ------------------------------------------------------------------------------------------------

    def has(self, program: str) -> bool:
        """Tell whether a command is there."""
        if self.host is None:
            return shutil.which(program, path=self._environment.get("PATH")) is not None
        return self.host.run(["sh", "-c", f"command -v {shlex.quote(program)}"]).returncode == 0

    def call(self, argv: Sequence[str], directory: str | None = None, stdin: str = "") -> str:
        """Call a command of Slurm, in a directory, and return what it printed; `SlurmError` where it fails."""
        done = self._run(argv, directory, stdin.encode("utf-8", "surrogateescape"))
        if done.returncode == 0:
            return done.stdout.decode(errors="replace")
        raise self._error(argv, done)

    def _run(self, argv: Sequence[str], directory: str | None, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        command = ["env", "SLURM_BITSTR_LEN=0", *argv]  # else long lists of indices are cut off
        if self.host is not None:
            if directory is not None:
                command = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", directory, *command]
            return self.host.run(command, stdin, timeout=_PATIENCE)
        try:
            return subprocess.run(
                command,
                cwd=directory,
                env=self._environment,
                input=stdin,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
                start_new_session=True,  # Ctrl-C in the terminal is the launcher's to hear
            )
        except subprocess.TimeoutExpired:
            raise SlurmError(
                self.name, self.where, shlex.join(argv), f"no answer within {_PATIENCE:g} s; timed out", retry=True
            ) from None

    def _error(self, argv: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> RunslotError:
        text = (done.stderr + done.stdout).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = "; ".join(dict.fromkeys(lines[-3:])) or f"exit code {done.returncode}"
        command = shlex.join(argv)
        if done.returncode == 127 or (done.returncode == 126 and "env:" in text):
            return self.missing(argv[0])
        if _AWAY.search(text):
            return SlurmError(self.name, self.where, command, f"Slurm cannot be reached ({said})", retry=True)
        for pattern, meaning in _REASONS:
            if re.search(pattern, text):
                return Refused(self.name, self.where, command, f"{meaning} ({said})")
        return SlurmError(self.name, self.where, command, said)

    def missing(self, program: str) -> NotInstalled:
        """Return the error of a machine without Slurm's commands."""
        return NotInstalled(
            f"launcher {self.name} (Slurm), host {self.where}: there is no {program} on PATH; launch on a login "
            'node of the cluster, or name one: login = "HOST" in the launcher\'s table'
        )

    def close(self) -> None:
        """Close the connection to the login host."""
        if self.host is not None:
            self.host.close()

    # ---- what they are for ---------------------------------------------------------------------------------------

    def array_size(self) -> int:
        """Return how many tasks an array may have."""
        return read_limit(self.call(["scontrol", "show", "config"]), "MaxArraySize", DEFAULT_ARRAY_SIZE)

    def test(self, script: str) -> None:
        """Ask whether a script, given as its text, would be taken; `Refused` where it can never be."""
        try:
            self.call(["sbatch", "--test-only"], stdin=script)
        except (Refused, NotInstalled):
            raise
        except SlurmError as error:
            if error.retry:
                raise
            # Nodes that are down now, and the like: the queue is there to wait for them.

    def submit(self, script: str, job_name: str, directory: str) -> str:
        """Submit a script that lies in `directory` and return the job's id, also where Slurm's answer was lost."""
        argv = ["sbatch", "--parsable", script]
        try:
            printed = self.call(argv, directory)
        except SlurmError as error:
            if not (error.retry and _UNSURE.search(error.reason)):
                raise
            found = self.find(job_name)
            if found is None:
                raise
            return found
        try:
            return read_submitted(printed)[0]
        except ValueError:
            said = printed.strip()[-300:]
            raise SlurmError(self.name, self.where, shlex.join(argv), f"it printed no job id: {said!r}") from None

    def find(self, job_name: str, looks: int = 3) -> str | None:
        """Return the id of a job by its name, which no other has; looked for several times, since it may just come."""
        for look in range(looks):
            if look:
                time.sleep(_AGAIN)
            try:
                tasks = self.queue([job_name])
            except SlurmError as error:
                if not error.retry or look == looks - 1:
                    raise
                continue
            if tasks:
                return tasks[0].job
        return None

    def queue(self, job_names: Collection[str]) -> list[Task]:
        """Return what Slurm says of all tasks of these jobs, those that have just ended included, in one query."""
        return list(read_squeue(self.call([*SQUEUE, f"--name={','.join(job_names)}"])))

    def history(self, jobs: Collection[str]) -> list[Task]:
        """Return what the accounts say of jobs that the queue has forgotten; nothing where no accounts are kept."""
        try:
            return list(read_sacct(self.call([*SACCT, f"--jobs={','.join(jobs)}"])))
        except RunslotError:  # not installed, switched off, away: it only adds to what else is known
            return []

    def cancel(self, names: Iterable[str], job_names: Collection[str], kill: bool = False) -> None:
        """Cancel jobs and tasks (`12`, `12_3`, `12_[4-7]`); those that have ended are no error.

        Only jobs that Slurm has under one of the names, which no other jobs have: ids that stand in files are words.
        """
        own = self._jobs_of_this_user(job_names)
        listed = [name for name in names if name.partition("_")[0] in own]
        if not listed:
            return
        if kill:
            self._try_cancel(["scancel", "--full", "--signal=KILL", *listed])
        self._try_cancel(["scancel", *listed])

    def _jobs_of_this_user(self, job_names: Collection[str]) -> set[str]:
        if not job_names:
            return set()
        # On a login host Slurm sees to it: there the user may be another, and is hardly the superuser.
        user = [f"--user={user_name(os.geteuid())}"] if self.host is None else []
        return {task.job for task in read_squeue(self.call([*SQUEUE, *user, f"--name={','.join(job_names)}"]))}

    def _try_cancel(self, argv: Sequence[str]) -> None:
        try:
            self.call(argv)
        except SlurmError as error:
            if not re.search(r"Invalid job id|already completing|Job/step already", error.reason):
                raise
