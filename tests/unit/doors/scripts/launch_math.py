"""A script of launchkit's shape: its testing/test.py, with a loop that does not wait."""

# ruff: noqa: B007, C408  (as users write it)

import sys

from runslot import launchkit as launcher_util
from runslot import logger
from runslot.launchkit import DeterministicHyperparameterSweeper


def math_exp(variant):
    # unpack hyperparameters
    x, y = variant["x"], variant["y"]

    # simulate time / iterations
    for t in range(10):
        # log metrics
        logger.record_dict(
            {
                "time": t,
                "pow": x**y,
                "sum": x + y,
                "product": x * y,
            }
        )
        x += 1
        # save all metrics to disk
        logger.dump_tabular()

        # save an object that changes with t, such as model params, to disk
        logger.save_itr_params(t, {"t": t})

    # save an object that doesn't change with t to disk (one obj per exp)
    logger.save_extra_data({}, file_name="myfile.pkl", mode="pickle")


if __name__ == "__main__":
    variants = dict(
        x=[1, 2, 3],
        y=[2, 3],
    )
    sweeper = DeterministicHyperparameterSweeper(
        variants,
    )
    for exp_id, variant in enumerate(sweeper.iterate_hyperparameters()):
        launcher_util.run_experiment(
            math_exp,
            variant=variant,
            exp_prefix="test_math",
            mode="local",
            snapshot_mode="gap_and_last",
            snapshot_gap=3,
            skip_wait="--skip-wait" in sys.argv,
        )
    print("the loop is over")
