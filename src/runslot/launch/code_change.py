"""Whether the code of an experiment has changed since its launch, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runslot.engines.events import Observer, Said
from runslot.errors import InvalidInput
from runslot.experiment.files import write_json
from runslot.experiment.lock import LauncherLock
from runslot.experiment.provenance import write_provenance
from runslot.experiment.records import Command, ExperimentFile, Function
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.function_pickle import digest_of_file, digest_of_module
from runslot.launch.interpreter import python_of_runs
from runslot.launch.plan import Plan


@dataclass(frozen=True)
class OnChange:
    """What to do where code has changed: refuse (`strict`), go on (`accept`), else ask, or where
    nobody answers say.
    """

    strict: bool = False
    accept: bool = False
    ask: Callable[[Sequence[str]], bool] | None = None
    """Asks the user whether to go on in spite of these changes; None where there is no terminal."""

    def settle(self, directory: ExperimentDir, changes: Sequence[str], observer: Observer) -> None:
        """Go on or raise `InvalidInput`; the changes are said."""
        if not changes:
            return
        if self.strict:
            raise InvalidInput(
                f"{directory.path} cannot be continued strictly: {'; '.join(changes)}"
            )
        for change in changes:
            observer(Said(f"note: {change}; finished runs are kept as they are"))
        if not self.accept and self.ask is not None and not self.ask(changes):
            raise InvalidInput(
                f"{directory.path} is left as it is; --accept-code-change continues it with the"
                " code as it is now"
            )


def settle_resume(directory: ExperimentDir, on_change: OnChange, observer: Observer) -> None:
    """Before a resume: where code has changed, settle it, and record the code that the further runs
    are of.
    """
    directory.require_own()
    file = directory.read()
    now = with_digests_of_now(file)
    changes = changes_between(file, now)
    if not changes:
        return
    on_change.settle(directory, changes, observer)
    if on_change.accept or on_change.ask is not None:
        lock = LauncherLock(directory)
        lock.acquire()
        try:
            code = Path(now.script or file.cwd)
            place = code.parent if code.is_file() else code
            write_provenance(directory, place, now.script, python=python_of_runs(now))
            write_json(directory.experiment_file, now.to_json())
        finally:
            lock.release()


def keep_copy(plan: Plan, before: ExperimentFile) -> Plan:
    """Return the plan whose runs use the copy of the code that the experiment has."""
    work = plan.file.work
    if isinstance(work, Function):
        work = replace(work, digest=_digest(before))
    file = replace(plan.file, work=work, script_digest=before.script_digest, code=before.code)
    return replace(plan, file=file)


def changes_between(before: ExperimentFile, after: ExperimentFile) -> list[str]:
    """Return what differs in how runs come about, one sentence each."""
    changes = []
    old_digest, new_digest = _digest(before), _digest(after)
    if old_digest and new_digest and old_digest != new_digest:
        changes.append(f"the code of {what(after)} has changed")
    if before.cwd != after.cwd:
        changes.append(f"the working directory was {before.cwd}, now {after.cwd}")
    if before.python != after.python:
        changes.append(f"Python was {before.python}, now {after.python}")
    return changes


def with_digests_of_now(file: ExperimentFile) -> ExperimentFile:
    """Return what was asked, with the digest of its code as it is now; runs from a copy have that
    of the copy.
    """
    if file.code is not None:
        return file
    function = file.work
    if isinstance(function, Command):
        return replace(file, script_digest=digest_of_file(file.script) or file.script_digest)
    now = ""
    if function.file is not None:
        now = digest_of_file(function.file)
    elif function.module is not None:
        now = digest_of_module(function.module)
    return replace(file, work=replace(function, digest=now or function.digest))


def what(file: ExperimentFile) -> str:
    """Return what an experiment runs, in words."""
    if isinstance(file.work, Command):
        return "the command " + " ".join(file.work.argv)
    return f"the function {file.work}"


def _digest(file: ExperimentFile) -> str:
    return file.work.digest if isinstance(file.work, Function) else file.script_digest
