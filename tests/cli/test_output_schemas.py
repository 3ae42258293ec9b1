"""What commands print with --json is as `runslot schema` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest


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
        "diff": ["results", "diff", first, second],
    }.items():
        schema = json.loads(runslot("schema", command).stdout)
        jsonschema.Draft202012Validator.check_schema(schema)
        printed = json.loads(runslot(*arguments, "--json").stdout)
        jsonschema.validate(printed, schema)
        assert "version 1" in schema["title"] or schema["properties"]["version"] == {"const": 1}
        if command == "diff":
            assert printed["parts"]["variant"]["lr"] == [0.1, 2]
        if command == "launchers":
            assert [launcher["name"] for launcher in printed] == ["box"]


def test_a_schema_that_there_is_none_of_is_refused(runslot: Any) -> None:
    assert "there are sweep, results" in runslot.refused("schema", "sweeps")
