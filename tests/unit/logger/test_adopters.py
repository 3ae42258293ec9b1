"""The examples for other libraries, with the real library where it is installed."""

from __future__ import annotations

import importlib.util
import json
import math
import warnings
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.adopters

ADOPTERS = Path(__file__).parents[3] / "examples" / "adopters"


def load(name: str, *libraries: str) -> ModuleType:
    for library in libraries:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, on import
            pytest.importorskip(library, reason=f"{library} is not installed", exc_type=ImportError)
    spec = importlib.util.spec_from_file_location(name, ADOPTERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", sorted(ADOPTERS.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(file):
    assert len(file.read_text().splitlines()) <= 60


def test_gymnasium(logger, run_dir, rows):
    example = load("gymnasium_loop", "gymnasium", "numpy")
    best = example.train({"noise": 0.5, "seed": 1, "iterations": 3, "episodes": 2})
    read = rows(run_dir / "progress.csv")
    assert [row["Iteration"] for row in read] == ["0", "1", "2"]
    assert float(read[-1]["BestReturn"]) == best == max(float(row["ReturnAverage"]) for row in read)
    assert logger.load_itr_params()["policy"].shape == (4, 2)


def test_pytorch_continues_where_it_was_cut(logger, run_dir, rows):
    example = load("pytorch_loop", "torch")
    example.train({"lr": 0.01, "epochs": 3})
    logger.bind_run(run_dir, resume=True)
    cut = example.train({"lr": 0.01, "epochs": 6})
    read = rows(run_dir / "progress.csv")
    assert [row["epoch"] for row in read] == [str(epoch) for epoch in range(6)]
    logger.bind_run(run_dir.parent / "whole")
    assert math.isclose(example.train({"lr": 0.01, "epochs": 6}), cut, rel_tol=1e-5)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers and hardware
def test_lightning(logger, run_dir, rows):
    example = load("lightning_logger", "lightning")
    import torch
    from lightning import pytorch as lightning

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, _):
            loss = self.layer(batch[0]).square().mean()
            self.log("loss", loss)
            return loss

        def validation_step(self, batch, _):
            self.log("val_loss", self.layer(batch[0]).square().mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.ones(8, 1)), batch_size=4
    )
    trainer = lightning.Trainer(
        max_epochs=2,
        logger=example.RunslotLogger(),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=run_dir,
    )
    trainer.fit(Model(), data, data)
    read = rows(run_dir / "progress.csv")
    assert [row["step"] for row in read] == ["0", "1", "2", "3"]
    assert all(float(row["loss"]) >= 0 for row in read)
    assert [row["val_loss"] != "nan" for row in read] == [False, True, False, True]
    assert json.loads((run_dir / "hparams.json").read_text()) == {"lr": 0.1}


@pytest.mark.filterwarnings("ignore")  # Gymnasium's advice on versions
def test_stable_baselines3(logger, run_dir, rows):
    example = load("sb3_writer", "stable_baselines3")
    example.train({"seed": 0, "steps": 256, "n_steps": 64, "n_epochs": 1})
    read = rows(run_dir / "progress.csv")
    assert [row["time/total_timesteps"] for row in read] == ["64", "128", "192", "256"]
    assert math.isfinite(float(read[-1]["train/loss"]))
    assert (run_dir / "model.zip").exists()
