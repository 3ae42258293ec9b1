"""The user's configuration: `runslot.toml` of the project, `~/.config/runslot/config.toml` of the
user.

It holds `root`, where experiments go unless told otherwise (`RUNSLOT_ROOT` goes before it),
`launchers`, a table for each place that runs can be started in, and `launchkit`, what that door's
modes need.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, NotInstalled, nearest

ROOT_VARIABLE = "RUNSLOT_ROOT"
"""Environment variable with the directory that experiments go to."""

_KEYS = ("root", "launchers", "launchkit")


def path_of(value: object, name: str) -> Path:
    """Return a path as a user writes it, with `~` for a home; `InvalidInput` where it can be
    none.
    """
    if not isinstance(value, (str, os.PathLike)) or isinstance(value, bytes):
        raise InvalidInput(f"{name} must be a path, not {value!r:.80}")
    path = Path(value)
    if not str(value).strip() or "\0" in str(path) or not _has_bytes(path):
        raise InvalidInput(f"{name} must be a path, not {str(value)!r:.80}")
    try:
        return path.expanduser()
    except RuntimeError:
        raise InvalidInput(
            f"{name} is {str(path)!r}, and nobody here has that home; write ./~ for a name"
        ) from None


def _has_bytes(path: Path) -> bool:
    try:
        return bool(os.fsencode(path))
    except UnicodeEncodeError:  # half of a pair of UTF-16
        return False


def default_root() -> Path:
    """Return where experiments go: `RUNSLOT_ROOT`, else the configuration, else `runs` in the
    current directory.
    """
    text = os.environ.get(ROOT_VARIABLE)
    if text:
        return path_of(text, ROOT_VARIABLE).absolute()
    for file in configuration_files():
        root = read_configuration(file).get("root")
        if root is not None:
            return (file.parent / path_of(root, f"{file}: root")).absolute()
    return Path("runs").absolute()


def configuration_files() -> list[Path]:
    """Return the configuration files that exist, nearest first."""
    try:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError:  # a user without a home has no configuration
        home = Path(os.devnull)
    return [
        file
        for file in (Path.cwd() / "runslot.toml", home / "runslot" / "config.toml")
        if file.is_file()
    ]


def read_configuration(file: Path) -> dict[str, Any]:
    """Read one configuration file; `InvalidInput` names an unknown key, with the nearest known
    one.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise NotInstalled(
                f"{file} needs a TOML reader on Python 3.10: pip install tomli"
            ) from None
    try:
        value: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{file} is not TOML: {error}") from error
    except RecursionError:
        raise InvalidInput(f"{file} is nested too deeply") from None
    for key in value:
        if key not in _KEYS:
            raise InvalidInput(
                f"{file}: unknown key {key!r}{nearest(key, _KEYS)}; known: {', '.join(_KEYS)}"
            )
    launchers = value.get("launchers", {})
    for name, entry in launchers.items() if isinstance(launchers, dict) else [("", launchers)]:
        if not isinstance(entry, dict):
            raise InvalidInput(
                f"{file}: launchers{name and '.'}{name} is {entry!r}, but it is a table: "
                f"[launchers.{name or 'NAME'}] with kind = …"
            )
    if not isinstance(value.get("root", ""), str):
        raise InvalidInput(f"{file}: root is {value['root']!r}, but it is a path in quotes")
    return value
