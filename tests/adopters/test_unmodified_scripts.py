"""Scripts that know nothing of runslot, with the libraries that they import: their metrics stand in
the table.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runslot.results import Results, load

pytestmark = pytest.mark.adopters

Sweep = Callable[..., Results]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """Run a script once for two learning rates, by the command line, and return what was read."""

    def run(script: str, *options: str, **environment: str) -> Results:
        (tmp_path / "script.py").write_text(script)
        command = [sys.executable, "script.py", "--lr", "{lr}"]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "runslot",
                "run",
                "--grid",
                "lr=0.1,0.01",
                *options,
                "--",
                *command,
            ],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "lr  n  final" in done.stdout, done.stdout
        return load(tmp_path / "runs" / "script" / "latest", cache=False)

    return run


def test_wandb_offline(sweep: Sweep) -> None:
    pytest.importorskip("wandb")
    script = (
        "import argparse, wandb\np = argparse.ArgumentParser()\np.add_argument('--lr',"
        " type=float)\na = p.parse_args()\nrun = wandb.init(project='p', config=vars(a))\nfor i in"
        " range(1500): run.log({'loss': a.lr / (i + 1), 'deep': {'x': i}, 'pad': 'y' *"
        " 40})\nrun.finish()\nprint('group', run.group, 'name', run.name)\n"
    )
    results = sweep(script, WANDB_MODE="offline", WANDB_SILENT="true")
    assert results.runs["rows"].to_list() == [1500, 1500]
    assert sorted(results.runs["final/loss"].to_list()) == [0.01 / 1500, 0.1 / 1500]
    assert results.runs["final/deep/x"].to_list() == [1499, 1499]
    consoles = [Path(path, "console.log").read_text() for path in results.runs["path"]]
    assert all(
        f"group script name {run}" in text
        for run, text in zip(results.runs["run"], consoles, strict=True)
    )


def test_tyro(sweep: Sweep) -> None:
    pytest.importorskip("tyro")
    script = (
        "import dataclasses, tyro\n"
        "@dataclasses.dataclass\nclass Args:\n    lr: float = 1.0\n    steps: int = 3\n"
        "args = tyro.cli(Args)\n"
        "for step in range(args.steps): print(f'step {step} | loss {args.lr / (step + 1):.6f}')\n"
    )
    results = sweep(script)
    assert sorted(results.runs["final/loss"].to_list()) == pytest.approx(
        [0.01 / 3, 0.1 / 3], rel=1e-3
    )


def test_hugging_faces_trainer(sweep: Sweep) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    script = (
        "import argparse, os, torch\nfrom transformers import PretrainedConfig, PreTrainedModel,"
        " Trainer, TrainingArguments\np = argparse.ArgumentParser(); p.add_argument('--lr',"
        " type=float); a = p.parse_args()\nclass Model(PreTrainedModel):\n    config_class ="
        " PretrainedConfig\n    def __init__(self, config):\n        super().__init__(config);"
        " self.layer = torch.nn.Linear(1, 1); self.post_init()\n    def forward(self, x,"
        " labels=None):\n        y = self.layer(x); return {'loss': (y - labels).square().mean(),"
        " 'logits': y}\ndata = [{'x': torch.ones(1), 'labels': torch.zeros(1)}] * 8\narguments ="
        " TrainingArguments(os.environ['RUNSLOT_RUN'] + '/out', learning_rate=a.lr, max_steps=4,\n "
        "   logging_steps=1, per_device_train_batch_size=2, save_steps=2, report_to=[],"
        " use_cpu=True,\n    disable_tqdm=True)\nTrainer(Model(PretrainedConfig()), arguments,"
        " train_dataset=data).train()\n"
    )
    results = sweep(script)
    assert results.runs["rows"].to_list() == [4, 4]
    assert all(loss >= 0 for loss in results.runs["final/loss"].to_list())
