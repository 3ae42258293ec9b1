"""A `KVWriter` for Stable-Baselines3: what its algorithms log becomes rows of the run.

runslot run examples/adopters/sb3_writer.py:train --grid learning_rate=1e-3,1e-4 --seeds 3
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.logger import Figure, HParam, Image, KVWriter, Logger, Video

from runslot import logger

NO_CELL = (Figure, HParam, Image, Video)


class RunslotWriter(KVWriter):  # type: ignore[misc]  # without Stable-Baselines3 installed its class has no type
    """Writes one row a dump; pictures and what is excluded from `csv` are left out."""

    def write(
        self,
        key_values: Mapping[str, Any],
        key_excluded: Mapping[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Write a row; `step` is the number of steps of the environments."""
        row = {
            key: value
            for key, value in key_values.items()
            if "csv" not in (key_excluded.get(key) or ()) and not isinstance(value, NO_CELL)
        }
        logger.set_iteration(step)
        logger.record_dict(row)
        logger.dump_tabular()

    def close(self) -> None:
        """Nothing is held open: the logger is the run's."""


def train(variant: dict[str, Any]) -> None:
    """Train PPO; `variant`: `seed`, and if wanted `env`, `steps`, and the algorithm's own
    arguments.
    """
    arguments = {
        key: value
        for key, value in variant.items()
        if key not in {"env", "steps", "exp_id", "exp_prefix"}
    }
    model = PPO("MlpPolicy", variant.get("env", "CartPole-v1"), device="cpu", **arguments)
    model.set_logger(Logger(folder=logger.get_snapshot_dir(), output_formats=[RunslotWriter()]))
    model.learn(variant.get("steps", 20_000))
    if (directory := logger.get_snapshot_dir()) is not None:
        model.save(f"{directory}/model.zip")


if __name__ == "__main__":
    logger.setup_logger("sb3", variant={"seed": 0})
    train({"seed": 0})
