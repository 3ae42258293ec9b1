"""A plain command line that is read without typer means the same as with it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runslot.__main__ import main
from runslot.cli import plain
from runslot.cli import run as quick
from runslot.cli.app import load
from runslot.cli.commands import COMMANDS

PLAIN = [
    ["train.py:train"],
    ["train.py:train", "--grid", "lr=1,2", "--grid=x=a", "--seeds", "3", "-q", "--dry-run"],
    [
        "--name",
        "n",
        "--root",
        "some/where",
        "--cpus-per-run=2",
        "--",
        "python",
        "x.py",
        "--seeds",
        "{seed}",
        "--",
    ],
    [
        "sweep.yaml",
        "--set",
        "a=1",
        "--set",
        "b=2",
        "--timeout",
        "10m",
        "--resumable",
        "--json",
        "--notify",
        "x://y",
    ],
    [
        "m:f",
        "--avoid-busy",
        "--strict",
        "--accept-code-change",
        "--snapshot-code",
        "--detach",
        "--into",
        "d",
    ],
]

NOT_PLAIN = [
    ["--help"],
    ["--seeds"],
    ["--unknown", "1"],
    ["a:b", "c:d"],
    ["a:b", "--retries", "many"],
    ["a:b", "--retries", "1", "--retries", "2"],
    ["a:b", "--seeds", "-1"],
    ["a:b", "--quiet=yes"],
]


def with_typer(arguments: list[str]) -> tuple[dict[str, Any], list[str] | None]:
    command = load("run")
    context = command.make_context("run", list(arguments))
    return context.params, context.meta.get("runslot.command")


@pytest.mark.parametrize("arguments", PLAIN)
def test_it_reads_what_typer_reads(arguments: list[str]) -> None:
    read = quick.read(arguments)
    assert read is not None
    options, command = read
    wanted, wanted_command = with_typer(arguments)
    assert options == {key: value for key, value in wanted.items() if value}
    assert options["a parameter that was not given"] is None
    assert command == wanted_command


@pytest.mark.parametrize("arguments", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_typer(arguments: list[str]) -> None:
    assert quick.read(arguments) is None


def test_it_knows_every_option_of_run() -> None:
    command = load("run")
    known = {"target", *(option.name for option in quick.OPTIONS.values())}
    assert {parameter.name for parameter in command.params} - {"help"} == known


def test_a_plain_run_does_not_load_typer(tmp_path: Path) -> None:
    argv = ["run", "--root", str(tmp_path), "--name", "x", "--", sys.executable, "-c", "pass"]
    program = (
        f"import sys; from runslot.__main__ import main; main({argv!r}); sys.exit('typer' in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---- the other commands --------------------------------------------------------------------------

PLAIN_COMMANDS = [
    "ls",
    "ls there -n 3 --json",
    "ls --limit=3",
    "status",
    "status a/b --all",
    "queue --json",
    "logs run_0 -f -n 20",
    "logs a/b/run_0 --lines 0 --follow",
    "stop exp run_0 run_1 --kill",
    "stop exp --take-over a",
    "pause exp",
    "continue exp",
    "attach exp -q",
    "resume exp --failed --max-cost 1.5 --wait --notify x://y --notify z://y",
    "results",
    "results a b --metric loss --mode min --where lr<0.1 --where x=1 --level 0.9 --limit 3",
    "results compare A B --json",
    "export a --csv --out there --long",
    "confirm exp --top 2 --seeds 3 --dry-run",
    "plot a b -o out.pdf --kind bars --level 0.5",
    "plot --out=out.pdf --by lr",
    "view a --port 0 --host 0.0.0.0 --reader me --no-token --export out.html",
    "tag exp fine done --remove",
    "note exp text",
    "note exp",
    "hardware --cpus-per-run 2 --gpus-per-run 0 --avoid-busy",
    "schema results",
    "selftest --chaos 5.5 --in there",
]

LEFT = [
    "plot --out=out.pdf --by lr --by seed",
    "status --help",
    "status -h",
    "status --al",
    "status a b",
    "status -- a",
    "status --all=yes",
    "status --json=",
    "ls -n3",
    "ls -n 0",
    "ls -n many",
    "ls -n 1_0",
    "ls -n 1 -n 2",
    "ls --limit",
    "ls --limit=-1",
    "logs",
    "stop",
    "stop --kill",
    "plot a",
    "results --level nan",
    "results --level -1",
    "results --csv -",
    "view --port 65536",
    "note exp -a",
    "note exp -",
    "launchers",
    "cloud ls",
    "pull a",
    "nothing",
    "--version",
]


def values_of(command: str, words: list[str]) -> dict[str, Any] | None:
    signature = inspect.signature(COMMANDS[command].load(), eval_str=True)
    return plain.values_of(signature, words)


@pytest.mark.parametrize("line", PLAIN_COMMANDS)
def test_a_command_reads_what_typer_reads(line: str) -> None:
    command, *words = line.split()
    values = values_of(command, words)
    assert values is not None
    context = load(command).make_context(command, list(words))
    given = {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name).name == "COMMANDLINE"
    }
    assert values == given
    assert {name: type(value) for name, value in values.items()} == {
        name: type(value) for name, value in given.items()
    }


@pytest.mark.parametrize("line", LEFT)
def test_what_no_command_reads_plainly_is_left_to_typer(line: str) -> None:
    assert plain.call(line.split()) is None


def test_every_command_but_those_with_further_ones_is_read_plainly() -> None:
    for name, command in COMMANDS.items():
        if not command.is_group and name != "run":
            parameters = {parameter.name for parameter in load(name).params} - {"help"}
            assert parameters == set(inspect.signature(command.load()).parameters), name


@pytest.mark.parametrize("line", ["ls", "status", "results", "queue", "hardware", "schema ls"])
def test_a_plain_command_does_not_load_typer(line: str, tmp_path: Path) -> None:
    argv = ["run", "--root", str(tmp_path), "--quiet", "--", "true"]
    subprocess.run([sys.executable, "-m", "runslot", *argv], check=True, stdout=subprocess.DEVNULL)
    program = (
        f"import sys; from runslot.__main__ import main; status = main({line.split()!r});"
        " sys.exit(status or 'typer' in sys.modules)"
    )
    environment = {**os.environ, "RUNSLOT_ROOT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False, capture_output=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_exit_status_of_a_plain_command_is_that_of_its_function(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runslot", "attach", str(tmp_path)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("results d --csv --json", "--csv needs a value, and --json follows"),
        ("results --csv -- d", "--csv needs a value, and -- follows"),
        ("plot d -o --title=x.pdf", "-o needs a value, and --title=x.pdf follows"),
        ("view d --export --no-token", "--export needs a value, and --no-token follows"),
        ("run t.py:f --name --seeds 2", "--name needs a value, and --seeds follows"),
        ("results --metric --help", "--metric needs a value, and --help follows"),
        ("results --level high", "'--level': must be a valid number, not 'high'"),
        ("ls -n many", "must be a valid integer, not 'many'"),
        ("run t.py:f --retries=few", "must be a valid integer, not 'few'"),
        ("note d -5 is too low", "a text that begins with a dash goes after --"),
        ("run --grid a=1 --", "nothing stands after --"),
        ("--dry-run run t.py:f", "a command's options go after its name"),
    ],
)
def test_a_word_that_is_missing_or_wrong_is_named(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1
