"""A Hydra application as people have them: config groups, a resolver, a callback. It knows nothing
of runslot.

    python train.py -m model=linear,cubic optimizer.lr=0.1,0.01 'seed=range(3)'
"""

import logging
import random

import hydra
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)

OmegaConf.register_new_resolver("twice", lambda number: 2 * number, replace=True)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Fit a polynomial to points of a curve by gradient descent, and return the last loss."""
    rng = random.Random(cfg.seed)
    points = [(x / 20, (x / 20) ** 3 - x / 40 + rng.gauss(0, cfg.noise)) for x in range(-20, 21)]
    weights = [0.0] * (cfg.model.degree + 1)
    speed = [0.0] * len(weights)
    loss = 0.0
    for epoch in range(cfg.epochs):
        errors = [(x, sum(w * x**i for i, w in enumerate(weights)) - y) for x, y in points]
        for i in range(len(weights)):
            slope = sum(2 * error * x**i for x, error in errors) / len(points)
            speed[i] = cfg.optimizer.momentum * speed[i] - cfg.optimizer.lr * slope
            weights[i] += speed[i]
        loss = sum(error**2 for _, error in errors) / len(points)
        log.info("epoch %d loss %.6f", epoch, loss)
    return loss


if __name__ == "__main__":
    main()
