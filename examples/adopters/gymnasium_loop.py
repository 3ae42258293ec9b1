"""A loop over a Gymnasium environment: random search of a linear policy for CartPole.

runslot run examples/adopters/gymnasium_loop.py:train --grid noise=0.1,0.5 --seeds 3
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from runslot import logger


def train(variant: dict[str, Any]) -> float:
    """Return the best mean return; `variant`: `noise`, `seed`, and if wanted `env`, `iterations`,
    `episodes`.
    """
    seed = int(variant.get("seed", 0))
    env = gymnasium.make(variant.get("env", "CartPole-v1"))
    random = np.random.default_rng(seed)
    best, best_return = np.zeros((4, 2)), float("-inf")
    for iteration in range(variant.get("iterations", 20)):
        policy = best + variant["noise"] * random.standard_normal(best.shape)
        returns = [
            episode_return(env, policy, seed * 100_000 + iteration * 100 + episode)
            for episode in range(variant.get("episodes", 5))
        ]
        if np.mean(returns) > best_return:
            best, best_return = policy, float(np.mean(returns))
        logger.set_iteration(iteration)
        logger.record_tabular("Iteration", iteration)
        logger.record_tabular_misc_stat("Return", returns)
        logger.record_tabular("BestReturn", best_return)
        logger.dump_tabular()
        logger.save_itr_params(iteration, {"policy": best})
    env.close()
    return best_return


def episode_return(env: gymnasium.Env[Any, Any], policy: np.ndarray[Any, Any], seed: int) -> float:
    """Play one episode with the action that the policy scores highest."""
    observation, _ = env.reset(seed=seed)
    total, done = 0.0, False
    while not done:
        observation, reward, terminated, truncated, _ = env.step(
            int(np.argmax(observation @ policy))
        )
        total, done = total + float(reward), terminated or truncated
    return total


if __name__ == "__main__":
    logger.setup_logger("gymnasium", variant={"noise": 0.5})
    train({"noise": 0.5})
