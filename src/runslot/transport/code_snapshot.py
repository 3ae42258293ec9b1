"""A copy of the code for an experiment's runs, so that edits made meanwhile do not change them
(`snapshot_code`).

Copied are the tracked files of the git work tree, and the untracked ones that it does not ignore;
without git the directory; of these what the user's patterns choose. Every path that a run is given
and that lies in the tree then points into the copy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from runslot.errors import InvalidInput
from runslot.experiment.records import CodeCopy, Command, ExperimentFile, Work, travels_by_value
from runslot.experiment.rundir import ExperimentDir
from runslot.record import record
from runslot.transport.patterns import Patterns, is_literal

ALL = Patterns()
MOST_BYTES = 200_000_000
MOST_FILES = 20_000
_COPY = "code"


@record
class CodeSource:
    """The files that make up the code."""

    tree: Path
    files: tuple[str, ...]
    """Relative to the tree."""
    origin: str = ""
    """The repository that the tree is a clone of, as `URL@REF`."""


def find_source(
    code: Path, without: Sequence[Path], patterns: Patterns = ALL, script: str = ""
) -> CodeSource:
    """Return the code that `code` (the script's directory) belongs to, less the directories of
    experiments.

    Of it `patterns` choose; one that is a path, without wildcards, includes what git ignores too.
    `InvalidInput` where it is too large to be code, naming what is large, and where the patterns
    leave the `script` behind.
    """
    code = code.resolve()
    top = _git(code, "rev-parse", "--show-toplevel")
    tree = code if top is None else Path(os.fsdecode(top.rstrip(b"\n")))
    files = list(_walk(tree, "") if top is None else _listed(tree, ""))
    if patterns:
        files = _chosen(tree, files, patterns)
        _refuse_missing(Path(script).resolve(), tree, files)
    for root in [path.resolve() for path in without]:
        if root.is_relative_to(tree) and root != tree:
            inside = f"{root.relative_to(tree)}/"
            files = [file for file in files if not file.startswith(inside)]
    _check_size(tree, files, by_git=top is not None)
    return CodeSource(tree, tuple(files))


def copy_source(source: CodeSource, experiment: ExperimentDir, cwd: str) -> CodeCopy:
    """Copy the code into the experiment's directory; return what `experiment.json` says of it.

    A further copy goes beside the first: runs that have started keep the one that they started
    with.
    """
    number = 1
    while True:
        name = _COPY if number == 1 else f"{_COPY}-{number}"
        try:
            (experiment.path / name).mkdir()
        except FileExistsError:
            number += 1
        else:
            break
    import shutil  # at home alone: tasks load this module, and their start counts

    copy = experiment.path / name
    for file in source.files:
        target = copy / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.tree / file, target, follow_symlinks=False)
    if Path(cwd).is_relative_to(source.tree):
        (copy / Path(cwd).relative_to(source.tree)).mkdir(parents=True, exist_ok=True)
    return CodeCopy(str(source.tree), name, source.origin)


def from_copy(file: ExperimentFile, experiment: ExperimentDir) -> ExperimentFile:
    """Return what was asked with every path into the tree replaced by the one in the copy, where
    there is a copy.
    """
    if file.code is None:
        return file
    to = _Redirection(Path(file.code.tree), experiment.path.resolve() / file.code.copy)
    work = to.work(file.work)
    path = tuple(to(entry) for entry in file.path)
    # What an editable install adds to the import path of a script's interpreter is the tree, not
    # the copy.
    added = [new for new, old in zip(path, file.path, strict=True) if old not in (new, file.cwd)]
    python_paths = [to(entry) for entry in (file.python_path or "").split(os.pathsep) if entry]
    python_path = os.pathsep.join(dict.fromkeys([*python_paths, *added])) or file.python_path
    return replace(file, work=work, path=path, cwd=to(file.cwd), python_path=python_path)


class _Redirection:
    """From paths in the tree to those in the copy; what is not in the copy stays as it is."""

    def __init__(self, tree: Path, copy: Path) -> None:
        self._tree = tree
        self._copy = copy

    def __call__(self, text: str) -> str:
        path = Path(text)
        if not path.is_absolute() or not path.is_relative_to(self._tree):
            return text
        target = self._copy / path.relative_to(self._tree)
        return str(target) if target.exists() else text

    def work(self, work: Work) -> Work:
        if isinstance(work, Command):
            return replace(work, argv=tuple(map(self, work.argv)))
        return work if work.file is None else replace(work, file=self(work.file))


def _listed(tree: Path, below: str) -> Iterator[str]:
    """Yield what git tracks, or would; also in submodules."""
    at = tree / below
    for option in (("--cached",), ("--others", "--exclude-standard")):
        for name in (_git(at, "ls-files", "-z", *option) or b"").split(b"\0"):
            file = below + os.fsdecode(name)
            path = tree / file
            if not name or not os.path.lexists(path):  # in the index, and deleted
                continue
            if path.is_dir() and not path.is_symlink():
                yield from _listed(tree, file.rstrip("/") + "/")
            else:
                yield file


def _walk(tree: Path, below: str) -> Iterator[str]:
    for entry in sorted(os.scandir(tree / below), key=lambda item: item.name):
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield below + entry.name
        elif not (Path(entry.path) / "pyvenv.cfg").exists():
            yield from _walk(tree, f"{below}{entry.name}/")


def _chosen(tree: Path, files: Sequence[str], patterns: Patterns) -> list[str]:
    named: list[str] = []
    for pattern in filter(is_literal, patterns.include):
        path = tree / pattern.strip("/")
        inside = (
            _all_below(tree, pattern.strip("/"))
            if path.is_dir()
            else [path.relative_to(tree).as_posix()]
        )
        named += [file for file in inside if os.path.lexists(tree / file)]
    return [file for file in dict.fromkeys([*files, *named]) if patterns.takes(file)]


def _all_below(tree: Path, below: str) -> Iterator[str]:
    for directory, directories, files in os.walk(tree / below):
        directories[:] = sorted(name for name in directories if name not in (".git", "__pycache__"))
        for name in sorted(files):
            yield Path(directory, name).relative_to(tree).as_posix()


def _refuse_missing(script: Path, tree: Path, files: Sequence[str]) -> None:
    if (
        script.is_file()
        and script.is_relative_to(tree)
        and (name := script.relative_to(tree).as_posix()) not in files
    ):
        raise InvalidInput(
            f"the patterns of the code leave {name} behind, which is to be run: include it, as"
            " '*.py'"
        )


def _check_size(tree: Path, files: Iterable[str], by_git: bool) -> None:
    sizes = {file: (tree / file).lstat().st_size for file in files}
    total = sum(sizes.values())
    if total <= MOST_BYTES and len(sizes) <= MOST_FILES:
        return
    parts: Counter[str] = Counter()
    for file, size in sizes.items():
        parts[file.partition("/")[0]] += size
    largest = ", ".join(f"{name} ({size / 1e6:.0f} MB)" for name, size in parts.most_common(3))
    advice = (
        "name it in .gitignore, or to --code-exclude"
        if by_git
        else "make it a git repository with a .gitignore"
    )
    raise InvalidInput(
        f"the code in {tree} cannot be copied: {len(sizes)} files of {total / 1e6:.0f} MB, and at"
        f" most {MOST_FILES} of {MOST_BYTES / 1e6:.0f} MB are taken for code; the largest:"
        f" {largest}; {advice}"
    )


def _git(directory: Path, *arguments: str) -> bytes | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        process = subprocess.run(
            ["git", "-C", directory, *arguments], capture_output=True, check=False, env=environment
        )
    except OSError:  # no git here
        return None
    return process.stdout if process.returncode == 0 else None


def as_here(
    file: ExperimentFile, directory: ExperimentDir, environment: Mapping[str, str]
) -> tuple[ExperimentFile, dict[str, str]]:
    """Return what was asked with this interpreter, its packages and the copy of the code, and the
    runs' environment.

    `file` points into the copy already (`from_copy`). What lay elsewhere on the launching machine
    is left out.
    """
    if file.code is None:
        raise InvalidInput(
            f"{directory.path} has no copy of the code, so it cannot be executed on another machine"
        )
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    contained = (
        file.container is not None
    )  # then the image's Python counts, and is looked at in its turn
    if travels_by_value(file.work) and not contained and file.python_version not in {"", here}:
        raise InvalidInput(
            f"the function travels by value from Python {file.python_version}, and {sys.executable}"
            f" is {here}: use the same minor version there, or write the function in a file of"
            " its own"
        )
    copy = directory.path.resolve() / file.code.copy
    inside = [entry for entry in file.path if Path(entry).is_relative_to(copy)]
    own_path = [entry for entry in sys.path[1:] if entry and not entry.endswith(".pyz")]
    python_paths = [
        entry
        for entry in (file.python_path or "").split(os.pathsep)
        if entry and Path(entry).is_relative_to(copy)
    ]
    cwd = file.cwd if Path(file.cwd).is_relative_to(copy) else str(copy)
    work = file.work
    if isinstance(work, Command):
        work = work.with_python(file.python, sys.executable)
    moved = replace(
        file,
        work=work,
        cwd=cwd,
        python=sys.executable,
        python_version=file.python_version if contained else here,
        path=tuple(dict.fromkeys([*inside, str(copy), *own_path])),
        python_path=os.pathsep.join(dict.fromkeys([*python_paths, *inside])) or None,
        interpreter=None,
    )
    programs = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    # Not `sys.prefix`, which a Python that has started without site packages sets otherwise.
    place = Path(sys.executable).parent.parent
    active = {"VIRTUAL_ENV": str(place)} if (place / "pyvenv.cfg").is_file() else {}
    return moved, {**environment, **active, "PATH": programs}
