"""`runslot hardware`: the picture and the JSON."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from runslot.cli.hardware import hardware
from runslot.cli.signature import typed
from runslot.errors import DoesNotFit


@pytest.fixture
def show():
    app = typer.Typer()
    app.command()(typed(hardware))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(
            app, [str(a) for a in arguments], catch_exceptions=False, env={"COLUMNS": "100"}
        )
        assert result.exit_code == 0
        return result.stdout

    return run


def test_json_has_these_keys_and_no_other(show, capture, golden):
    name = "32intel64-2p8co2t+8ve"
    said = json.loads(show("--json", "--sysfs-root", capture(name), "--cpus-per-run", 4))
    assert list(said) == [
        "online",
        "allowed",
        "packages",
        "numa_nodes",
        "cores",
        "gpus",
        "cpu_quota",
        "memory",
        "slots",
    ]
    assert said["packages"] == golden[name]["packages"]
    assert said["numa_nodes"] == golden[name]["numa_nodes"]
    assert set(said["cores"][0]) == {"pus", "package", "numa", "kind"}
    assert [slot["pus"] for slot in said["slots"]] == [
        [0, 1, 2, 3, 16, 17, 18, 19],
        [4, 5, 6, 7, 20, 21, 22, 23],
        [8, 9, 10, 11, 24, 25, 26, 27],
        [12, 13, 14, 15, 28, 29, 30, 31],
    ]


def test_the_picture_shows_nodes_cores_and_slots(show, capture):
    text = show("--sysfs-root", capture("20em64t-hybrid-1p6c2t+2ca4co1t"), "--cpus-per-run", 4)
    assert "node 0, 31 GiB, 14 cores, CPUs 0-19" in text
    assert "■p ■p ■p ■p □p □p ■e ■e" in text
    assert "slot 0: CPUs 0-7" in text
    assert text.rstrip().endswith("3 slots of 4 cores each (14 cores, 2 spare)")


def test_this_machine(show):
    assert json.loads(show("--json"))["online"]
    assert "slot 0" in show()


def test_too_much_is_refused(show, capture):
    with pytest.raises(DoesNotFit, match="cpus: a run asks for 3 cores"):
        show("--sysfs-root", capture("2arm-2c"), "--cpus-per-run", 3)
