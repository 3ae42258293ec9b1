"""runslot as one file: a zip archive that any Python from 3.10 on runs, and that travels to
machines without runslot.

It holds what needs the standard library alone, with cloudpickle and nvidia-ml-py, and serves
`exec`, `work`, `serve`; and what a job of Hydra's needs, where Hydra is.
"""

from __future__ import annotations

import hashlib
import importlib._bootstrap_external as bootstrap
import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import runslot
from runslot.errors import RunslotError
from runslot.experiment.records import Command, ExperimentFile
from runslot.experiment.rundir import ExperimentDir

_PARTS = (
    "record",
    "terminal_text",
    "errors",
    "first_import",
    "variants",
    "hardware",
    "experiment",
    "scheduler",
    "logger",
    "execute",
    "transport",
    "engines",
    "launch",
    "remote",
    "rlpyt",
    "launchkit",
    "hydra",
)
_OF_SEARCHES = ("quantiles", "results", "search")
"""What a process needs besides that decides about a search; these need polars and numpy there."""
_BESIDE = ("cloudpickle", "pynvml")
"""Modules of others; one that is not installed here is left out, and then missed only by what needs
it.
"""

_MAIN = """\
import sys
if sys.version_info < (3, 10):
    version = (sys.executable,) + sys.version_info[:2]
    sys.exit("runslot needs Python 3.10 or newer, and %s is %d.%d" % version)
from runslot.__main__ import command
command()
"""
_EPOCH = (2020, 1, 1, 0, 0, 0)


def one_file(directory: Path, searches: bool = False) -> Path:
    """Return the archive in `directory`, made where it is not there; its name tells its content.

    Each version keeps its own file: processes that run from one read it again at every import.
    """
    if isinstance(runslot.__loader__, zipimporter_class()):
        return _own_archive()
    sources = dict(_sources(_PARTS + (_OF_SEARCHES if searches else ())))
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for name, data in sources.items():
        digest.update(name.encode() + b"\0" + data)
    path = directory / f"runslot-{digest.hexdigest()[:12]}.pyz"
    if not zipfile.is_zipfile(path):  # a power cut may leave one that is empty
        directory.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".runslot-")
        with os.fdopen(descriptor, "wb") as file:
            _write(file, sources)
        os.chmod(temporary, 0o644)  # noqa: PTH101  mkstemp's is readable by its owner alone
        os.replace(temporary, path)  # noqa: PTH105
    return path


def zipimporter_class() -> type:
    """Return the class of loaders of archives."""
    from zipimport import zipimporter

    return zipimporter


def experiment_archive(experiment: ExperimentDir, searches: bool = False) -> Path:
    """Return the archive in an experiment's directory, which goes wherever that goes.

    It is a copy of the user's cached one: to compile all of runslot takes a second.
    """
    try:
        cached = cached_archive(searches)
        path = experiment.path / cached.name
        if path != cached and not zipfile.is_zipfile(path):
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            shutil.copy2(cached, temporary)
            temporary.replace(path)
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        return one_file(experiment.path, searches)
    return path


def with_package(file: ExperimentFile) -> ExperimentFile:
    """Return what was asked with the archive that a function's interpreter needs, where runslot
    runs on another one.
    """
    if file.interpreter is None or isinstance(file.work, Command) or file.container is not None:
        return file
    return replace(file, interpreter=replace(file.interpreter, package=str(cached_archive())))


def cached_archive(searches: bool = False) -> Path:
    """Return the archive in the user's cache, for other interpreters and other machines."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return one_file(Path(home) / "runslot", searches)


def _own_archive() -> Path:
    return Path(runslot.__file__).parent.parent


def _sources(parts: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    package = Path(runslot.__file__).parent
    for name in ("__init__.py", "__main__.py"):
        yield f"runslot/{name}", (package / name).read_bytes()
    for part in parts:
        yield from _module_files(package / part, f"runslot/{part}")
    for name in _BESIDE:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            yield from _module_files(
                origin.parent if origin.name == "__init__.py" else origin.with_suffix(""), name
            )


def _module_files(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield f"{name}/{file.relative_to(path).as_posix()}", file.read_bytes()
    elif path.with_suffix(".py").is_file():
        yield f"{name}.py", path.with_suffix(".py").read_bytes()
    else:
        raise RunslotError(f"{path} is missing: runslot is not installed whole; install it again")


def _write(file: object, sources: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), _MAIN)
        for name, data in sources.items():
            _add(archive, name, data)
            if name.endswith(".py"):
                _add(archive, f"{name}c", _compiled(name, data))


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def _compiled(name: str, source: bytes) -> bytes:
    """Return byte code that this minor version of Python takes as it is; any other version compiles
    the source.
    """
    code = compile(source, name, "exec", dont_inherit=True)
    return bytes(bootstrap._code_to_hash_pyc(code, importlib.util.source_hash(source), False))  # type: ignore[attr-defined]
