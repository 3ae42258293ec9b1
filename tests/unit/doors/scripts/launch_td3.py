"""A script of RLKit's shape: classes and functions as values, dotted keys in the sweep, a seed
among the choices.
"""

# ruff: noqa: C408  (as users write it)

import enum

from rlkit.torch.td3 import TD3Trainer, TorchBatchRLAlgorithm

from runslot.launchkit import DeterministicHyperparameterSweeper, run_experiment


class Env(enum.Enum):
    CHEETAH = "half-cheetah"


class Policy:
    def __init__(self, hidden_sizes):
        self.hidden_sizes = hidden_sizes


def squash(x):
    return x / 2


def experiment(variant):
    policy = variant["policy_class"](**variant["policy_kwargs"])
    assert isinstance(policy, Policy)
    assert policy.hidden_sizes == [256, 256]
    assert variant["env"] is Env.CHEETAH
    assert variant["activation"](4) == variant["other_activation"](4) - 1 == 2
    assert type(variant) is dict
    trainer = variant["trainer_class"](**variant["trainer_kwargs"])
    algorithm = TorchBatchRLAlgorithm(trainer=trainer, **variant["algorithm_kwargs"])
    algorithm.train()


if __name__ == "__main__":
    variant = dict(
        env=Env.CHEETAH,
        activation=squash,
        other_activation=lambda x: x - 1,
        algorithm_kwargs=dict(num_epochs=2),
        trainer_class=TD3Trainer,
        trainer_kwargs=dict(discount=0.99),
        policy_class=Policy,
        policy_kwargs=dict(hidden_sizes=[256, 256]),
        layer_sizes=[400, 300],
    )
    search_space = {
        "trainer_kwargs.discount": [0.9, 0.99],
        "seed": [10, 11],
    }
    sweeper = DeterministicHyperparameterSweeper(search_space, default_parameters=variant)
    for exp_id, variant in enumerate(sweeper.iterate_hyperparameters()):
        variant["exp_id"] = exp_id
        run_experiment(
            experiment,
            exp_prefix="td3-half-cheetah",
            mode="local",
            variant=variant,
            use_gpu=False,
            skip_wait=True,
            time_in_mins=int(2.8 * 24 * 60),
        )
