"""Commands of other launchers in a slot: Hydra's grammar, torchrun and accelerate side by side,
mpirun.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runslot.experiment.placeholders import hydra_value
from runslot.hardware.probe import probe
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve

pytestmark = pytest.mark.adopters

BIN = Path(sys.executable).parent


def sweep(place: Path, *arguments: str) -> Path:
    """Run a sweep of the command line, which must succeed, and return its directory."""
    done = subprocess.run(
        [sys.executable, "-m", "runslot", "run", "--name", "sweep", *arguments],
        cwd=place,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "runs" / "sweep" / "latest"


def consoles(experiment: Path) -> list[str]:
    return [path.read_text() for path in sorted(experiment.glob("**/console.log"))]


ODD_VALUES: list[Any] = [
    None, True, 1, -3, 0.1, 1e-5, 1e22, float("inf"), "a", "a b", "true", "1", "1e3", "null", "", "it's", "a\\",
    "a\\'b", "a=b", "x,y", "[1]", "{a:1}", "$HOME", "${x}", "a\\${x}", '"q"', "über→", "a:b", "lr=0.1/run_0", "nan",
    "-", "--x", "(x)", "#", "~", ".5", "0x1F", "1_000", "a\nb", "*", "'", "\\", "-nan",
    [1, "a,b", [None, 0.5]], {"k": "v w", "n": {"m": [1]}}, {"a b": 1, "x=y": {"p:q,(r)": [2]}, "s\\t": "u"},
]  # fmt: skip


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_hydra_reads_every_value_as_it_was(value: Any) -> None:
    parser = pytest.importorskip(
        "hydra.core.override_parser.overrides_parser"
    ).OverridesParser.create()
    from omegaconf import OmegaConf

    override = parser.parse_override(f"k={hydra_value(value)}")
    config = OmegaConf.create({"k": None})
    OmegaConf.update(config, "k", override.value())
    assert OmegaConf.to_container(config, resolve=True)["k"] == value


def test_a_hydra_application_writes_into_its_run_directory(tmp_path: Path) -> None:
    pytest.importorskip("hydra")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("lr: 1.0\nseed: 0\nmodel:\n  name: x\n")
    (tmp_path / "app.py").write_text(
        "import hydra, os\n"
        "@hydra.main(version_base='1.3', config_path='conf', config_name='config')\n"
        "def main(cfg):\n"
        "    out = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir\n"
        "    assert os.path.samefile(out, os.environ['RUNSLOT_RUN']), out\n"
        "    print(f'epoch 0 loss {cfg.lr + cfg.seed}', repr(cfg.model.name))\n"
        "main()\n"
    )
    grid = ("--grid", "lr=0.1,0.01", "--grid", "model.name='a=b, c','true'", "--seeds", "2")
    experiment = sweep(tmp_path, *grid, "--", sys.executable, "app.py", "{overrides}")
    said = consoles(experiment)
    assert len(said) == 8
    assert sum("'a=b, c'" in text for text in said) == 4
    assert len(list(experiment.glob("**/.hydra/config.yaml"))) == 8


MEETS = """
import os, pathlib, sys, time, torch, torch.distributed as dist
dist.init_process_group("gloo")
x = torch.ones(1)
dist.all_reduce(x)
print("rank", dist.get_rank(), "sum", x.item(), "port", os.environ["MASTER_PORT"], flush=True)
pathlib.Path(f"here-{sys.argv[1]}").touch()
while len(list(pathlib.Path().glob("here-*"))) < int(sys.argv[2]):
    time.sleep(0.05)
dist.destroy_process_group()
"""


def test_two_runs_of_torchrun_side_by_side_meet_at_their_own_ports(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "meets.py").write_text(MEETS)
    together = min(2, len(carve(probe(), Resources(cpus=1))))
    torchrun = [str(BIN / "torchrun"), "--nproc-per-node", "2", "meets.py", "{seed}"]
    torchrun.append(str(together))
    experiment = sweep(tmp_path, "--seeds", "2", "--cpus-per-run", "1", "--", *torchrun)
    for text in consoles(experiment):
        assert text.count("sum 2.0") == 2, text
    outcomes = [json.loads(path.read_text()) for path in experiment.glob("**/outcome.json")]
    assert len({each["slot"] for each in outcomes}) == together


def test_accelerate_in_a_slot(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    (tmp_path / "prepared.py").write_text(
        "from accelerate import Accelerator\naccelerator = Accelerator(cpu=True)\n"
        "print(f'epoch 0 loss {0.5 / accelerator.num_processes}')\n"
    )
    launch = [
        str(BIN / "accelerate"),
        "launch",
        "--cpu",
        "--num_processes",
        "1",
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "prepared.py", "{seed}"]
    assert all(
        "loss 0.5" in text for text in consoles(sweep(tmp_path, "--seeds", "2", "--", *launch))
    )


def test_mpirun_in_a_slot(tmp_path: Path) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed; on Debian: apt-get install openmpi-bin")
    (tmp_path / "rank.py").write_text(
        "import os; print('rank', os.environ['OMPI_COMM_WORLD_RANK'], 'epoch 0 loss 0.5')\n"
    )
    mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"]
    experiment = sweep(tmp_path, "--seeds", "2", "--", *mpirun, sys.executable, "rank.py", "{seed}")
    for text in consoles(experiment):
        assert "rank 0" in text
        assert "rank 1" in text
