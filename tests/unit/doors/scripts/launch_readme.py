"""launchkit's README, word by word: a dict with lists is six runs."""

# ruff: noqa: C408  (as users write it)

from runslot import logger
from runslot.launchkit import run_experiment


def experiment_function(variant):
    logger.record_dict({"hyperparam2": variant["hyperparam2"]})
    logger.dump_tabular()


if __name__ == "__main__":
    asked = dict(
        hyperparam1=["something", "something else"],
        hyperparam2=[1, 2, 3],
        hyperparam_fixed=False,
    )
    launched = run_experiment(
        experiment_function,
        variant=asked,
        exp_prefix="test",
        mode="local",
        snapshot_mode="gap_and_last",
        snapshot_gap=3,
    )
    assert launched.done
    assert launched.outcomes.all_succeeded, launched.outcomes
    assert asked == dict(
        hyperparam1=["something", "something else"], hyperparam2=[1, 2, 3], hyperparam_fixed=False
    )
    for log_dir in launched.log_dirs:
        print(log_dir)
