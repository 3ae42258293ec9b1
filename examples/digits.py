"""Train a small network on scikit-learn's digits: a function that runslot sweeps without changing
it.

runslot run examples/digits.py:train --grid lr=0.1,0.01,0.001 --grid hidden=32,64 --seeds 3
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from runslot import logger

EPOCHS = 40


def train(variant: dict[str, Any]) -> None:
    """Train with `lr` and `hidden` of the variant; log a row an epoch and keep the network, from
    which a further attempt of a `--resumable` run goes on.
    """
    seed = variant["seed"]
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.data / 16, digits.target, test_size=0.25, random_state=seed, stratify=digits.target
    )
    network = logger.load_itr_params() or MLPClassifier(
        hidden_layer_sizes=(variant["hidden"],),
        learning_rate_init=variant["lr"],
        batch_size=64,
        random_state=seed,
    )
    classes = np.unique(digits.target)
    for epoch in range(len(getattr(network, "loss_curve_", ())), EPOCHS):
        network.partial_fit(x_train, y_train, classes=classes)
        accuracy = network.score(x_test, y_test)
        logger.record_dict({"epoch": epoch, "loss": network.loss_, "accuracy": accuracy})
        logger.dump_tabular()
        logger.save_itr_params(epoch, network)
    print(f"test accuracy {network.score(x_test, y_test):.4f}")
