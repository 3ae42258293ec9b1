"""Write the logs beside this file anew: python capture.py DIRECTORY (needs lightning and
stable-baselines3).
"""

import sys
from pathlib import Path

import gymnasium
import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from torch.utils.data import DataLoader, TensorDataset


class Linear(lightning.LightningModule):
    def __init__(self, lr: float, sizes: tuple[int, int] = (4, 2)) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, _):
        loss = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", ((self.layer(batch[0]) - batch[1]) ** 2).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


def main(out: Path) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    data = DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=16)
    for lr in (0.1, 0.01):
        logger = CSVLogger(str(out / "lightning"), name="linear", flush_logs_every_n_steps=2)
        trainer = lightning.Trainer(
            max_epochs=3,
            logger=logger,
            log_every_n_steps=2,
            enable_checkpointing=False,
            accelerator="cpu",
        )
        trainer.fit(Linear(lr), data, data)
    options = {"n_steps": 64, "batch_size": 32, "n_epochs": 1, "seed": 0, "device": "cpu"}
    place = str(out / "stable-baselines3" / "ppo_1")
    model = PPO(
        "MlpPolicy", make_vec_env("CartPole-v1", n_envs=2, monitor_dir=place, seed=0), **options
    )
    model.set_logger(configure(place, ["csv", "tensorboard"]))
    model.learn(512)
    place = out / "stable-baselines3" / "monitored_1"
    place.mkdir(parents=True)
    PPO(
        "MlpPolicy", Monitor(gymnasium.make("CartPole-v1"), str(place / "monitor.csv")), **options
    ).learn(256)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
