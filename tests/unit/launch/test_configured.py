"""Launchers by name: what the configuration says is what is used, and what it cannot mean is
refused by name.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from runslot.engines.local.config import ThisMachine
from runslot.engines.registry import (
    BUILT_IN,
    GROUP,
    configured_launchers,
    entry_of,
    launcher_named,
    of_experiment,
    read_entry,
)
from runslot.engines.sky.rental import Record, Rented, write_record
from runslot.engines.ssh.config import SSH
from runslot.errors import InvalidInput, NotFound
from runslot.experiment.records import Command, ExperimentFile, LauncherEntry
from runslot.experiment.rundir import ExperimentDir
from runslot.transport.bucket import MachineShare


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_project_goes_before_the_user(project):
    user = project / ".config" / "runslot" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text(
        '[launchers.box]\nkind = "ssh"\nhosts = ["mine"]\n[launchers.other]\nkind = "local"\n'
    )
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
        (
            '[launchers.a]\nkind = "shh"',
            r"launchers.a: kind 'shh' is unknown \(did you mean 'ssh'\?\)",
        ),
        ("[launchers.a]\nhosts = []", "launchers.a: has no kind"),
        (
            '[launchers.a]\nkind = "ssh"\nhost = ["b"]',
            r"unknown key 'host' \(did you mean 'hosts'\?\)",
        ),
        (
            '[launchers.a]\nkind = "ssh"\nhosts = "b"',
            r"launchers.a.hosts is 'b', but it is a list in brackets",
        ),
        (
            '[launchers.a]\nkind = "ssh"\nhosts = [1]',
            r"launchers.a.hosts is 1, but it is text in quotes",
        ),
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
    file = ExperimentFile(
        "e", Command(("true",)), 0.0, "/", "python", launcher=entry_of(configured)
    )

    again = of_experiment(ExperimentFile.from_json(file.to_json()))

    assert again == configured
    assert of_experiment(ExperimentFile("e", Command(("true",)), 0.0, "/", "python")) is None


def test_every_kind_can_be_loaded_and_is_kept_by_its_word():
    for kind in BUILT_IN:
        keys = {"ssh": {"hosts": ["a"]}, "sky": {"infra": "aws"}}.get(kind, {})
        assert entry_of(read_entry("x", {"kind": kind, **keys}, "test")).kind == kind


def test_the_built_in_kinds_are_the_entry_points_of_the_package():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

    assert project["entry-points"][GROUP] == dict(BUILT_IN)


# ---- engines of other packages -------------------------------------------------------------------

PLUG_IN = """
from dataclasses import dataclass
from runslot.engines.protocol import LauncherConfig

@dataclass(frozen=True)
class Farm(LauncherConfig):
    barns: int = 1

    def open(self, experiment, runs, observer):
        raise NotImplementedError
"""


def install(site: Path, entry_points: str, **modules: str) -> None:
    """Lay a package out as an installer does."""
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)
    info = site / "farm_engine-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: farm-engine\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[runslot.launchers]\n{entry_points}\n")


@pytest.fixture
def site(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "site").mkdir()
    monkeypatch.syspath_prepend(str(project / "site"))
    yield project / "site"
    for name in [name for name in sys.modules if name.startswith("farm_")]:
        del sys.modules[name]


def test_a_package_that_is_installed_adds_its_kind(project, site):
    install(site, "farm = farm_a:Farm", farm_a=PLUG_IN)
    (project / "runslot.toml").write_text('[launchers.hay]\nkind = "farm"\nbarns = 3\n')

    hay = launcher_named("hay")

    assert (type(hay).__name__, hay.barns) == ("Farm", 3)
    assert entry_of(hay).to_json() == {"name": "hay", "kind": "farm", "barns": 3}
    assert launcher_named("farm").barns == 1, "a kind without keys is its own name"
    with pytest.raises(InvalidInput, match=r"unknown key 'barn' \(did you mean 'barns'\?\)"):
        read_entry("hay", {"kind": "farm", "barn": 1}, "test")
    with pytest.raises(InvalidInput, match=r"kind 'frm' is unknown \(did you mean 'farm'\?\)"):
        read_entry("hay", {"kind": "frm"}, "test")


def test_a_class_is_named_by_its_module(project, site):
    (site / "farm_b.py").write_text(PLUG_IN)

    hay = read_entry("hay", {"kind": "farm_b:Farm", "barns": 2}, "test")

    assert entry_of(hay).to_json() == {"name": "hay", "kind": "farm_b:Farm", "barns": 2}
    assert (
        of_experiment(
            ExperimentFile("e", Command(("true",)), 0.0, "/", "python", launcher=entry_of(hay))
        )
        == hay
    )


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            "import no_such_module",
            "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("raise RuntimeError('two\\nlines')", "cannot be loaded: RuntimeError: two lines"),
        ("x = 1", "cannot be loaded: AttributeError"),
        ("Farm = 1", "TypeError: it must be a subclass of runslot.engines.protocol.LauncherConfig"),
        ("class Farm: pass", "it must be a subclass"),
    ],
)
def test_a_plug_in_that_does_not_work_is_named_with_its_distribution(project, site, module, said):
    install(site, "farm = farm_c:Farm", farm_c=module)

    with pytest.raises(InvalidInput) as refused:
        read_entry("hay", {"kind": "farm"}, "runslot.toml")

    assert str(refused.value).startswith(
        "runslot.toml: launchers.hay: kind 'farm' of farm-engine 1.2 (farm_c:Farm) "
    )
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_metadata_is_read_for_a_kind_of_runslots_own(project):
    program = """
import sys
from runslot.engines.registry import launcher_named
launcher_named("slurm")
sys.exit("importlib.metadata" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_experiment_whose_engine_is_not_installed_here_is_shown_by_its_files(project):
    """Copied to another machine, or the plug-in removed: what is known is shown, and why it may not
    be all.
    """
    started = ["run", "--name", "e", "--root", "runs", "--", "true"]
    subprocess.run([sys.executable, "-m", "runslot", *started], check=True, capture_output=True)
    (file,) = Path("runs").glob("e/[0-9]*/experiment.json")
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "launcher": {"name": "hay", "kind": "farm"}})
    )

    done = subprocess.run(
        [sys.executable, "-m", "runslot", "status", str(file.parent)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert "1 succeeded" in done.stdout
    assert (
        "its engine cannot be asked: experiment.json: launchers.hay: kind 'farm' is unknown"
        in " ".join(done.stdout.split())
    )


# ---- what the record says of its engine ----------------------------------------------------------


def test_what_only_an_engine_knows_is_said_in_a_line_and_as_json(project):
    """What rented machines have cost so far: status asks the engine of the experiment, whichever it
    is.
    """
    subprocess.run(
        [sys.executable, "-m", "runslot", "run", "--name", "e", "--root", "r", "--", "true"],
        check=True,
    )
    (file,) = Path("r").glob("e/[0-9]*/experiment.json")
    launcher = {"name": "cheap", "kind": "ec2", "bucket": "s3://bucket/runs"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "launcher": launcher}))
    rented = Rented(
        "rs-1", MachineShare("b1"), 0, (), "aws", 0.5, launched=(1000.0,), ended=(8200.0,), seconds=86400.0
    )  # fmt: skip
    write_record(ExperimentDir(file.parent), Record("file:///x", (rented,)))

    status = [sys.executable, "-m", "runslot", "status", str(file.parent)]
    text = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    values = json.loads(
        subprocess.run([*status, "--json"], capture_output=True, text=True, check=True).stdout
    )

    assert "spent: $1.00 by the catalog's prices, no machine is rented" in " ".join(text.split())
    assert values["experiments"][0]["spent"] == 1.0


@pytest.mark.parametrize(
    ("launcher", "shares"),
    [
        ({"name": "a", "kind": "ec2", "bucket": ""}, False),
        ({"name": "a", "kind": "slurm"}, True),
        ({"name": "a", "kind": "farm", "shares_machine": False}, False),
    ],
)
def test_an_older_file_does_not_say_whether_a_machine_is_shared(launcher, shares):
    entry = LauncherEntry.from_json(launcher)
    assert entry.shares_machine is shares
    assert LauncherEntry.from_json(entry.to_json()) == entry


def test_other_values_for_keys_are_refused_by_name():
    assert SSH("a", ("b",)).with_values(python="python3.12").python == "python3.12"
    with pytest.raises(InvalidInput, match="the launcher 'local' has no key python"):
        ThisMachine().with_values(python="x")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--script-only"], "--script-only writes scripts for Slurm or PBS"),
        (["--on", "local", "--script-only"], "--script-only writes scripts for Slurm or PBS"),
        (["--on", "slurm", "--max-cost", "3"], "--max-cost is for rented machines"),
    ],
)
def test_an_option_that_an_engine_does_not_have_is_refused(project, arguments, said):
    command = [sys.executable, "-m", "runslot", "run", "--root", "r", *arguments, "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
