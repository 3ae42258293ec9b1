"""A plain `runslot run …` that is read without typer means the same as with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runslot.cli import run as quick
from runslot.cli.app import load

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
    known = {"target", *(option.name for option in quick.VALUES.values()), *quick.FLAGS.values()}
    assert {parameter.name for parameter in command.params} - {"help"} == known


def test_a_plain_run_does_not_load_typer(tmp_path: Path) -> None:
    argv = ["run", "--root", str(tmp_path), "--name", "x", "--", sys.executable, "-c", "pass"]
    program = (
        f"import sys; from runslot.__main__ import main; main({argv!r}); sys.exit('typer' in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
