"""What of this machine a run's container sees: its experiment, its own code, runslot, and what the
user asks for.

`execute.outside` calls it for each container. What must stay true: nothing that would hide the
image's own files is mounted, and of a Python installation's own directories those alone that the
user asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from runslot.errors import InvalidInput
from runslot.execute.container import PACKAGE, Mount, hides_the_image
from runslot.experiment.records import Container, Function, RunFile

_PYTHONS_OWN = re.compile(r"((site|dist)-packages|python\d[\d.]*|lib-dynload|.*\.(zip|pyz|egg))")


def mounts_of(home: str, run_dir: str, file: RunFile, container: Container) -> Iterator[Mount]:
    """Yield the mounts, those that others lie in first."""
    for needed in (home, run_dir):
        if hides_the_image(needed):
            raise InvalidInput(
                f"{needed} would hide the image's own files if it were mounted; choose another"
                " --root"
            )
    code = [path for path in _code(file) if not hides_the_image(path)]
    mounts_by_target = {mount.target: mount for mount in map(_asked, container.mounts)}
    same = {path: Mount(path, path) for path in _outermost([home, run_dir, *code])}
    yield from sorted((same | mounts_by_target).values(), key=lambda mount: len(mount.target))
    package, source = package_place()
    yield Mount(
        source, package if package.endswith(".pyz") else f"{package}/runslot", writable=False
    )


def mounted_entries(
    path: Iterable[str], mounts: Iterable[Mount], container: Container
) -> tuple[str, ...]:
    """Return those that are mounted; of a Python installation's own those alone that the user had
    mounted.
    """
    targets_of_user = [
        mount.target for mount in map(_asked, container.mounts) if mount.source == mount.target
    ]
    targets = [mount.target for mount in mounts if mount.source == mount.target]
    return tuple(
        entry
        for entry in path
        if (_is_code(entry) and any(_is_below(entry, target) for target in targets))
        or any(_is_below(entry, target) for target in targets_of_user)
    )


def _asked(text: str) -> Mount:
    mount = Mount.of(os.path.expanduser(text))  # noqa: PTH111  the mode stands behind it
    if not os.path.isabs(mount.source) or not os.path.exists(mount.source):  # noqa: PTH110, PTH117
        raise InvalidInput(
            f"mounts: {mount.source!r} is no directory of {os.uname().nodename}; give an absolute"
            " path"
        )
    return mount


def _code(file: RunFile) -> Iterator[str]:
    """Yield the directories where the run's own code lies: work trees of git where they are in
    one.
    """
    yield _tree(file.cwd)
    work = file.work
    if isinstance(work, Function):
        if work.file:
            yield _tree(os.path.dirname(work.file))  # noqa: PTH120
        yield from (_tree(entry) for entry in file.path if _is_code(entry))
    else:
        above = (os.path.dirname(part) for part in work.argv if part.endswith((".py", ".sh")))  # noqa: PTH120
        yield from (_tree(directory) for directory in above if _is_code(directory))
    yield from (
        _tree(entry) for entry in (file.python_path or "").split(os.pathsep) if _is_code(entry)
    )


def _is_code(path: str) -> bool:
    """Tell whether this is a directory of the user's, not one of a Python installation."""
    return (
        os.path.isabs(path)  # noqa: PTH117
        and os.path.isdir(path)  # noqa: PTH112
        and not any(map(_PYTHONS_OWN.fullmatch, Path(path).parts))
    )


def _tree(path: str) -> str:
    for above in (Path(path), *Path(path).parents):
        if (above / ".git").exists():
            return path if above in {Path.home(), Path("/")} else str(above)
    return path


def _outermost(paths: Iterable[str]) -> list[str]:
    """Return the paths, and where links lead, less those that are seen through another one."""
    every = {path: os.path.realpath(path) for path in paths}
    every |= {real: real for real in every.values()}
    outermost: list[str] = []
    for path in sorted(every, key=len):
        is_below = any(
            _is_below(path, above) and _is_below(every[path], every[above]) for above in outermost
        )
        if not is_below:
            outermost.append(path)
    return outermost


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")


def package_place() -> tuple[str, str]:
    """Return where runslot is found inside, and what of this machine is mounted there."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    above = os.path.dirname(package)  # noqa: PTH120
    return (PACKAGE, package) if os.path.isdir(package) else (f"{PACKAGE}.pyz", above)  # noqa: PTH112
