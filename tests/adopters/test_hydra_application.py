"""The example application under Hydra's own multirun, read afterwards, and as a command of ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runslot.results import load

pytestmark = pytest.mark.adopters
pytest.importorskip("hydra")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hydra"
RUNSLOT = (sys.executable, "-m", "runslot")
PYTHON = (sys.executable,)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Return a directory with the example application."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "app"))


def call(place: Path, *argv: str) -> str:
    """Run a command, which must succeed, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "RUNSLOT_ROOT"}
    done = subprocess.run(
        argv, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_multirun_of_hydra_alone_is_grouped_by_its_overrides(app: Path) -> None:
    sweep = ["model=linear,cubic", "optimizer.lr=0.1,0.01", "seed=range(2)"]
    call(app, *PYTHON, "train.py", "-m", *sweep)
    results = load(app / "multirun")
    assert results.identity == ("model", "optimizer.lr")
    assert results.runs["rows"].to_list() == [20] * 8
    assert sorted(group.runs.height for _, group in results.group_by()) == [2, 2, 2, 2]
    text = call(app, *RUNSLOT, "results", "multirun")
    assert "model   optimizer.lr  n" in text
    assert "read as: 8 Hydra jobs" in text


def test_a_single_job_of_hydra_alone_is_read(app: Path) -> None:
    call(app, *PYTHON, "train.py", "optimizer=heavy_ball")
    results = load(app / "outputs")
    assert results.runs.select("optimizer", "optimizer.momentum", "rows").rows() == [
        ("heavy_ball", 0.9, 20)
    ]


def test_a_sweep_of_the_application_as_a_command(app: Path) -> None:
    grid = ["--grid", "model=linear,cubic", "--grid", "optimizer.lr=0.1,1e-3", "--seeds", "2"]
    command = ["--name", "fit", "--", *PYTHON, "train.py", "{overrides}"]
    call(app, *RUNSLOT, "run", *grid, *command)
    runs = app / "runs" / "fit" / "latest"
    assert len(list(runs.glob("**/.hydra/config.yaml"))) == 8
    assert len(list(runs.glob("**/seconds.txt"))) == 8
    results = load(runs)
    assert set(results.identity) == {"model", "optimizer.lr"}
    assert results.runs["rows"].to_list() == [20] * 8


PAGE = EXAMPLE.parents[1] / "docs" / "hydra.md"
COMMANDS = re.findall(r"^```sh\n(python train.py .*?)^```$", PAGE.read_text(), re.M | re.S)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run(app: Path, command: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    call(app, "env", f"PATH={path}", "bash", "-ec", command)
    (multirun,) = app.glob("multirun/*/*/multirun.yaml")
    results = load(multirun.parent)
    assert (results.runs["state"] == "succeeded").all()
    assert len(results.identity) > 0


def test_the_page_has_a_command_of_the_launcher_and_one_of_the_sweeper() -> None:
    assert [("hydra/sweeper" in text, "hydra/launcher" in text) for text in COMMANDS] == [
        (False, True),
        (True, True),
    ]


ODD: dict[str, Any] = {
    "text": ["a=b, it's\\", "null", " über→ ${seed}"],
    "nothing": None,
    "truth": True,
    "small": 1e-3,
    "tiny": 1e-05,
    "items": [1, "a,b", [None, 0.5]],
    "settings": {"k": "v w", "a b": 1, "x=y": {"deep": [True]}, "p:q,(r)": 2, "s\\t": "u"},
    "deep.er.key": "x",
}


def test_every_kind_of_value_arrives_in_the_application(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    config = {**dict.fromkeys(ODD, 0), "settings": dict.fromkeys(ODD["settings"]), "seed": 0}
    config["deep"] = {"er": {"key": config.pop("deep.er.key")}}
    (tmp_path / "conf" / "config.yaml").write_text(json.dumps(config))
    (tmp_path / "app.py").write_text(
        "import hydra, json, pathlib\nfrom omegaconf import OmegaConf\n"
        "@hydra.main(version_base='1.3', config_path='conf', config_name='config')\n"
        "def main(cfg):\n"
        "    out = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir\n"
        "    value = OmegaConf.to_container(cfg, resolve=True)\n"
        "    pathlib.Path(out, 'seen.json').write_text(json.dumps(value))\n"
        "main()\n"
    )
    (tmp_path / "sweep.json").write_text(
        json.dumps(
            {
                "name": "odd = one, two",
                "command": [*PYTHON, "app.py", "{overrides}"],
                "grid": {key: [value] for key, value in ODD.items() if key != "text"}
                | {"text": ODD["text"]},
            }
        )
    )
    call(tmp_path, *RUNSLOT, "run", "sweep.json")
    seen = [json.loads(file.read_text()) for file in tmp_path.glob("runs/**/seen.json")]
    assert sorted(each["text"] for each in seen) == sorted(ODD["text"])
    plain = {key: value for key, value in ODD.items() if key not in ("text", "deep.er.key")}
    for each in seen:
        assert {key: each[key] for key in plain} == plain
        assert each["deep"] == {"er": {"key": "x"}}


def test_a_key_that_no_grammar_of_hydras_can_write_is_refused_first(tmp_path: Path) -> None:
    sweep = {"name": "x", "command": ["true", "{overrides}"], "grid": {"a": [[{"1": 2}]]}}
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    done = subprocess.run(
        [*RUNSLOT, "run", "sweep.json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "the key '1', which Hydra's grammar has no way to write" in done.stderr
    assert not (tmp_path / "runs").exists()
