"""What starting costs, what help says, and that a mistake of ours is not taken for one of the
user's.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from runslot import __main__ as entry
from runslot.cli.app import load
from runslot.cli.commands import COMMANDS

HEAVY = (
    "rich",
    "polars",
    "ruamel",
    "runslot.launch",
    "runslot.execute",
    "runslot.results",
    "runslot.variants",
)


def test_the_commands_are_loaded_without_what_they_need_later():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, runslot.cli.app; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert "runslot.cli.app" in loaded
    assert not [
        name for name in loaded if name.startswith((*HEAVY, "runslot.cli.run", "runslot.cli.plot"))
    ]


def test_help_says_of_a_command_what_its_own_help_begins_with():
    for name, command in COMMANDS.items():
        assert load(name).help.partition("\n\n")[0].startswith(command.summary), name


def help_of(capsys, command):
    """Return what `runslot COMMAND --help` prints, from this process: all are asked for."""
    assert entry.main([command, "--help"]) == 0
    return capsys.readouterr().out


def test_help_names_every_command_and_every_option_has_words(runslot, capsys):
    said = runslot("--help").stdout
    commands = (
        "run",
        "resume",
        "status",
        "logs",
        "stop",
        "ls",
        "results",
        "export",
        "hardware",
        "schema",
    )
    for command in commands:
        assert f" {command} " in said
        assert "Usage: runslot " + command in help_of(capsys, command)
    run = runslot("run", "--help").stdout
    assert run == help_of(capsys, "run")
    assert "-- COMMAND" in run


def test_help_shows_no_types_of_python_and_fills_its_lines(capsys):
    for command in (
        "results",
        "view",
        "plot",
        "export",
        "hardware",
        "resume",
        "stop",
        "selftest",
        "run",
        "ls",
    ):
        text = help_of(capsys, command)
        assert not re.search(r"<(bool|str|path|Path|int|float|list)", text), command
    assert "in a root that is moved" in " ".join(help_of(capsys, "selftest").split())
    assert "diff RUN RUN" not in " ".join(help_of(capsys, "export").split())


def test_version(runslot):
    from runslot import __version__

    assert runslot("--version").stdout == f"runslot {__version__}\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(arguments):
        raise KeyError("a bug")

    monkeypatch.setattr("runslot.cli.app.call", broken)
    with pytest.raises(KeyError, match="a bug"):
        entry.main(["ls", "--help"])


def test_a_bug_in_a_command_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("runslot.cli.ls.default_root", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        entry.main(["ls"])


def test_ctrl_c_is_130(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("runslot.cli.ls.default_root", interrupted)
    assert entry.main(["ls"]) == 130
