"""What commands print with --json is as `runslot schema` says."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runslot.cli.app import load
from runslot.cli.commands import COMMANDS
from runslot.cli.output_schemas import OF_RESULTS, OUTPUTS, PRINTED, output_schema

WITHOUT_A_TABLE = {
    *("logs", "stop", "pull", "pause", "continue", "tag", "note", "view", "plot", "export"),
    *("schema", "selftest", "cloud clean"),
}
"""Commands that print lines of words, or the names of files, alone."""
TABLES = ("print_columns", "rich.table", "show_table", "print_table")
"""What a module that prints tables names."""


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command, and every one below it."""
    for name in COMMANDS:
        command = load(name)
        further = getattr(command, "commands", {})
        if not further or getattr(command, "invoke_without_command", False):
            yield name, command
        yield from ((f"{name} {below}", inner) for below, inner in further.items())


def test_a_command_prints_no_table_or_has_json_with_a_schema() -> None:
    names = dict(commands())
    assert set(PRINTED) | WITHOUT_A_TABLE == set(names)
    for name, command in names.items():
        has_json = any("--json" in parameter.opts for parameter in command.params)
        assert has_json == (name in PRINTED), name
        if name in WITHOUT_A_TABLE and command.callback is not None:
            module = inspect.getmodule(inspect.unwrap(command.callback))
            assert module is not None
            source = inspect.getsource(module)
            others = [n for n in PRINTED if n.split()[0] == name.split()[0]]
            assert others or not any(word in source for word in TABLES), name
    assert {schema for schemas in PRINTED.values() for schema in schemas} == {*OF_RESULTS, *OUTPUTS}


@pytest.mark.parametrize("name", [*OF_RESULTS, *OUTPUTS])
def test_a_schema_is_one_and_says_its_version(runslot: Any, name: str) -> None:
    schema = json.loads(runslot("schema", name).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "version 1" in schema["title"] or schema["properties"]["version"] == {"const": 1}
    assert name in runslot("schema", "-h").stdout


@pytest.fixture
def launched(runslot: Any) -> Path:
    runslot("run", "train.py:train", "--grid", "lr=0.1,2", "-q", status=None)
    newest: Path = (runslot.root / "train" / "latest").resolve()
    return newest


def test_every_command_that_prints_a_table_has_json_as_its_schema_says(
    runslot: Any, launched: Path
) -> None:
    (runslot.directory / "runslot.toml").write_text(
        '[launchers.box]\nkind = "ssh"\nhosts = ["box"]\n'
    )
    first, second = (str(launched / name / "run_0") for name in ("lr=0.1", "lr=2"))
    for command, arguments in {
        "ls": ["ls"],
        "status": ["status", str(launched)],
        "queue": ["queue"],
        "hardware": ["hardware"],
        "launchers": ["launchers"],
        "results": ["results", str(launched)],
        "effects": ["results", str(launched), "--effects"],
        "system": ["results", str(launched), "--system"],
        "diff": ["results", "diff", first, second],
    }.items():
        printed = json.loads(runslot(*arguments, "--json").stdout)
        jsonschema.validate(printed, output_schema(command))
        if command in OF_RESULTS:
            assert printed["accounting"]["line"].startswith("2 runs: 1 counted, 1 failed")
        if command == "diff":
            assert printed["parts"]["variant"]["lr"] == [0.1, 2]
        if command == "launchers":
            assert [launcher["name"] for launcher in printed] == ["box"]


def test_events_are_as_their_schema_says(runslot: Any, launched: Path) -> None:
    schema = output_schema("events")
    for arguments in (
        ("run", "train.py:train", "--grid", "lr=0.1,0.2"),
        ("run", "train.py:train", "--grid", "lr=0.1,0.2", "--dry-run"),
        ("resume", str(launched), "--failed"),
        ("attach", str(launched)),
        ("confirm", str(launched), "--metric", "loss", "--dry-run"),
    ):
        events = runslot.events(*arguments, status=None)
        for event in events:
            jsonschema.validate(event, schema)
        assert events or arguments[0] == "attach", arguments


def test_a_check_of_a_launcher_is_as_its_schema_says(runslot: Any) -> None:
    (runslot.directory / "runslot.toml").write_text(
        '[launchers.box]\nkind = "ssh"\nhosts = ["nowhere.invalid"]\n'
    )
    printed = runslot("launchers", "check", "box", "--json", status=1).stdout
    steps = [json.loads(line) for line in printed.splitlines()]
    for step in steps:
        jsonschema.validate(step, output_schema("launchers-check"))
    assert [step["well"] for step in steps][-1] is False


def test_an_optimality_gap_and_effects_go_with_json_and_nothing_else_does(
    runslot: Any, launched: Path
) -> None:
    words = ("results", str(launched), "--metric", "loss")
    printed = json.loads(runslot(*words, "--gap", "0.01", "--json").stdout)
    jsonschema.validate(printed, output_schema("results"))
    assert printed["optimality_gap"]["variants"][0]["gap"] == pytest.approx(0.05 - 0.01)
    assert "how far above 0.01" in runslot(*words, "--gap", "0.01").stdout
    assert "one output each" in runslot.refused(*words, "--gap", "1", "--latex")
    assert "one output each" in runslot.refused(*words, "--json", "--checklist")
    assert "say the score" in runslot.refused(*words, "--gap", "nan")


def test_a_schema_that_there_is_none_of_is_refused(runslot: Any) -> None:
    assert "there are sweep, results" in runslot.refused("schema", "sweeps")
