"""Whether the code of an experiment has changed since its launch, and what is done about it.

The code as a clone of a git repository at a commit: `--code URL@REF`.

`launch.experiment` makes a `Clone` before anything is planned. A clone lies in the user's cache
under the repository's name and the commit, whole or not at all; the runs use a copy of it in the
experiment, as with `snapshot_code`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from runslot.engines.events import Observer, Said
from runslot.errors import InvalidInput, NotInstalled
from runslot.experiment.files import write_json
from runslot.experiment.lock import LauncherLock
from runslot.experiment.provenance import write_provenance
from runslot.experiment.records import Command, ExperimentFile, Function
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.function import digest_of_file, digest_of_module
from runslot.launch.interpreter import python_of_runs
from runslot.launch.plan import Plan
from runslot.record import record


@record
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


# ---- code at a commit ----------------------------------------------------------------------------


_AUTHORITY = r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*"
"""The beginning of an address, in which an `@` stands behind the user's name."""
_CREDENTIALS = r"(?<=://)[^/@]*:[^/@]*@"


@record
class Repository:
    """What `URL@REF` names."""

    url: str
    ref: str
    """A branch, a tag or a commit; empty for the repository's own default."""

    @classmethod
    def read(cls, text: object) -> Repository:
        """Read `URL@REF`: a path, `file://`, `https://`, `ssh://` or `user@host:path`;
        `InvalidInput` for others.
        """
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise InvalidInput(f"code must be a git repository, as URL@REF, not {text!r:.80}")
        url, at, ref = text.rpartition("@")
        before = re.match(_AUTHORITY, text)
        behind_user = before.end() if before else text.find(":") if _is_scp(text) else 0
        if not at or len(url) < behind_user or Path(text).expanduser().is_dir():
            url, ref = text, ""
        if at and not ref and url != text:
            raise InvalidInput(
                f"code: {text!r} ends in @; write a branch, a tag or a commit behind it"
            )
        if url.startswith("-") or ref.startswith("-") or re.search(r"[\s~^:?*\[\\]", ref):
            raise InvalidInput(f"code: {text!r} is no git repository, as URL@REF")
        if not before and not _is_scp(url):
            url = os.path.abspath(Path(url).expanduser())  # noqa: PTH100  without `..`, as it is recorded
            if not Path(url).exists():
                raise InvalidInput(f"code: there is no repository at {url}; write URL@REF")
        return cls(url, ref)

    @property
    def shown(self) -> str:
        """The address as it is recorded and said: without a password."""
        return re.sub(_CREDENTIALS, "…@", self.url) + (f"@{self.ref}" if self.ref else "")

    @property
    def name(self) -> str:
        """A name for its directory."""
        last = re.split(r"[/:]", self.url.rstrip("/"))[-1].removesuffix(".git")
        return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.")[:60] or "code"


@record
class Clone:
    """A clone that is there, of what the user named."""

    repository: Repository
    tree: Path

    @classmethod
    def of(cls, text: object) -> Clone:
        """Clone what `URL@REF` names; `InvalidInput` with git's own last line."""
        repository = Repository.read(text)
        return cls(repository, _clone(repository))

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Be in it while the runs are planned: what they are given by relative paths lies there."""
        before = Path.cwd()
        os.chdir(self.tree)
        try:
            yield
        finally:
            os.chdir(before)

    def refuse_outside(self, plan: Plan) -> None:
        """Refuse a function that is not the clone's."""
        function = plan.file.work
        if not isinstance(function, Function):
            return
        file = function.file
        if file is None and function.module is None:
            raise InvalidInput(
                f"code: a function of this process is not in {self.repository.shown}; name it as"
                " 'file.py:function'"
            )
        if file is not None and not Path(file).is_relative_to(self.tree):
            raise InvalidInput(
                f"code: {file} does not lie in {self.repository.shown}; write the function's path"
                " in that repository"
            )

    def refuse_other_commit(self, before: ExperimentFile) -> None:
        """Refuse to go on at another commit than the runs that are there; it would be a second
        experiment.
        """
        code = before.code
        if code is None or code.tree != str(self.tree):
            origin = (
                f"{code.origin}, {Path(code.tree).name}"
                if code is not None and code.origin
                else "code that is no clone"
            )
            raise InvalidInput(
                f"code: {before.name} runs {origin}, and {self.repository.shown} is"
                f" {self.tree.name}; start a new experiment (without --into)"
            )


def _clone(repository: Repository) -> Path:
    """Clone the repository at its commit, and return where it lies."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    cache = Path(home, "runslot", "code")
    cache.mkdir(parents=True, exist_ok=True)
    import tempfile  # few launches need it

    temporary = Path(tempfile.mkdtemp(prefix=".clone-", dir=cache))
    try:
        tree = temporary / "tree"
        _git(repository, ["clone", "--quiet", "--no-checkout", "--", repository.url, str(tree)])
        commit = _commit(repository, tree)
        _git(repository, ["-C", str(tree), "checkout", "--quiet", "--detach", commit])
        if (tree / ".gitmodules").exists():
            _git(
                repository,
                ["-C", str(tree), "submodule", "--quiet", "update", "--init", "--recursive"],
            )
        address = hashlib.sha256(os.fsencode(repository.url)).hexdigest()[:10]
        place = cache / f"{repository.name}-{address}-{commit[:12]}"
        if place.exists():
            if _is_clean(place):
                return place
            place.rename(temporary / "edited")  # somebody wrote into it
        try:
            tree.rename(place)
        except OSError:  # another launch was faster with the same
            if not place.is_dir():
                raise
        return place
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_scp(text: str) -> bool:
    """Tell whether a text is `host:path`, as ssh has it; a path of this machine has a `/` before
    any `:`.
    """
    return ":" in text and "/" not in text.partition(":")[0]


def _commit(repository: Repository, tree: Path) -> str:
    names = (
        [f"refs/remotes/origin/{repository.ref}", repository.ref] if repository.ref else ["HEAD"]
    )
    for name in names:
        process = _run(
            [
                "-C",
                str(tree),
                "rev-parse",
                "--quiet",
                "--verify",
                "--end-of-options",
                f"{name}^{{commit}}",
            ]
        )
        if process.returncode == 0:
            return process.stdout.decode().strip()
    if not repository.ref:
        raise InvalidInput(f"code: {repository.shown} has no commit yet")
    raise InvalidInput(
        f"code: {repository.shown} cannot be cloned: no branch, tag or commit {repository.ref!r}"
        " in it"
    )


def _is_clean(place: Path) -> bool:
    process = _run(["-C", str(place), "status", "--porcelain", "--ignored"])
    return process.returncode == 0 and not process.stdout.strip()


def _git(repository: Repository, arguments: Sequence[str]) -> None:
    process = _run(arguments)
    if process.returncode != 0:
        reason = (
            _last_line(process.stderr.decode(errors="replace"))
            or f"git ended with {process.returncode}"
        )
        raise InvalidInput(f"code: {repository.shown} cannot be cloned: {reason}")


def _last_line(text: str) -> str:
    """Return the last line of git's own that says why; advice of several lines may follow it, and
    ssh's goes before.
    """
    lines = [re.sub(_CREDENTIALS, "…@", line.strip()) for line in text.splitlines() if line.strip()]
    ends = [number for number, line in enumerate(lines) if line.startswith(("fatal:", "error:"))]
    if not ends:
        return lines[-1] if lines else ""
    last = ends[-1]
    return lines[
        last - 1 if last and "Could not read from remote repository" in lines[last] else last
    ]


def _run(arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    environment = {
        name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_TREE
    }
    environment["GIT_TERMINAL_PROMPT"] = (
        "0"  # a repository that wants a password is refused, not waited for
    )
    try:
        return subprocess.run(
            ["git", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=environment,
        )
    except FileNotFoundError:
        raise NotInstalled(
            "code is a git repository, and there is no git on this machine: install git"
        ) from None


_OF_ANOTHER_TREE = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})
"""Variables that git sets for its hooks, and that would point this git elsewhere."""
