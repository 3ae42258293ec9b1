"""Launchers by name: what the configuration says is what is used, and what it cannot mean is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from runslot.engines.local.config import ThisMachine
from runslot.engines.registry import (
    KINDS,
    configured_launchers,
    entry_json,
    launcher_named,
    of_experiment,
    read_entry,
)
from runslot.errors import InvalidInput, NotFound
from runslot.experiment.records import ExperimentFile


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_project_goes_before_the_user(project):
    user = project / ".config" / "runslot" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[launchers.box]\nkind = "ssh"\nhosts = ["mine"]\n[launchers.other]\nkind = "local"\n')
    (project / "runslot.toml").write_text('[launchers.box]\nkind = "local"\n')

    assert isinstance(launcher_named("box"), ThisMachine)
    assert {name: file.name for name, (file, _) in configured_launchers().items()} == {
        "box": "runslot.toml",
        "other": "config.toml",
    }


def test_a_kind_without_keys_is_its_own_name(project):
    assert launcher_named("local").name == "local"
    with pytest.raises(InvalidInput, match="needs the key 'hosts'"):
        launcher_named("ssh")


def test_an_unknown_name_has_the_nearest_one(project):
    (project / "runslot.toml").write_text('[launchers.gpubox]\nkind = "local"\n')

    with pytest.raises(NotFound, match=r"no launcher 'gpubx' \(did you mean 'gpubox'\?\)"):
        launcher_named("gpubx")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[launchers.a]\nkind = "shh"', r"launchers.a: kind 'shh' is unknown \(did you mean 'ssh'\?\)"),
        ("[launchers.a]\nhosts = []", "launchers.a: has no kind"),
        ('[launchers.a]\nkind = "ssh"\nhost = ["b"]', r"unknown key 'host' \(did you mean 'hosts'\?\)"),
        ('[launchers.a]\nkind = "ssh"\nhosts = "b"', r"launchers.a.hosts is 'b', but it is a list in brackets"),
        ('[launchers.a]\nkind = "ssh"\nhosts = [1]', r"launchers.a.hosts is 1, but it is text in quotes"),
        ("launchers = 3", "launchers is 3, but it is a table"),
        ("[launchers]\na = 3", "launchers.a is 3, but it is a table"),
    ],
)
def test_what_an_entry_cannot_mean_is_refused_by_name(project, text, said):
    (project / "runslot.toml").write_text(text)

    with pytest.raises(InvalidInput, match=said):
        launcher_named("a")


def test_an_experiment_keeps_the_entry_it_was_launched_with(project):
    configured = read_entry("box", {"kind": "ssh", "hosts": ["a", "b"]}, "test")
    file = ExperimentFile("e", {}, 0.0, "/", "python", launcher=entry_json(configured))

    again = of_experiment(ExperimentFile.from_json(file.to_json()))

    assert again == configured
    assert of_experiment(ExperimentFile("e", {}, 0.0, "/", "python")) is None


@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_every_kind_can_be_loaded(kind):
    import importlib

    module, name = KINDS[kind]
    assert hasattr(importlib.import_module(module), name)
