"""A script of RLKit's shape that runs in its own process: examples/iql, mode `here_no_doodad`."""

# ruff: noqa: C408  (as users write it)

import random

from rlkit.torch.td3 import TD3Trainer, TorchBatchRLAlgorithm

from runslot.launchkit import logger, run_experiment


def experiment(variant):
    TorchBatchRLAlgorithm(TD3Trainer(0.5), num_epochs=2).train()
    logger.log(f"received {sorted(variant)}")
    return variant["seed"], random.random()


def main():
    return run_experiment(
        experiment,
        variant=dict(
            algo_kwargs=dict(batch_size=256),
            seed=random.randint(0, 100000),
        ),
        exp_prefix="iql-halfcheetah",
        mode="here_no_doodad",
        unpack_variant=False,
    )


if __name__ == "__main__":
    seed, drawn = main()
    random.seed(int(seed))
    assert drawn == random.random()
    print(seed)
