"""Metrics that scripts print, in the words of the programs that people run."""

from __future__ import annotations

import math

import pytest

from runslot.errors import InvalidInput
from runslot.experiment.metrics import check_metrics, metric_pattern
from runslot.results.console import printed_rows

PRINTED: dict[str, tuple[str, list[dict[str, float]]]] = {
    "PyTorch's MNIST example": (
        "Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300\nTrain Epoch: 1 [640/60000 (1%)]\tLoss: 1.9\n\n"
        "Test set: Average loss: 0.0287, Accuracy: 9913/10000 (99%)\n\nTrain Epoch: 2 [0/60000 (0%)]\tLoss: 0.3\n",
        [
            {"Epoch": 1, "Loss": 2.3},
            {"Epoch": 1, "Loss": 1.9, "Average loss": 0.0287, "Accuracy": 0.9913},
            {"Epoch": 2, "Loss": 0.3},
        ],
    ),
    "print, in the ways that people print": (
        "Namespace(lr=0.1, epochs=3)\nUsing device: cuda:0\nepoch 0 loss 0.5\nepoch 1: loss=0.25 acc: 60.0%\n"
        "epoch [2/10], loss: 0.1234\ntest accuracy: 0.93\n",
        [
            {"epoch": 0, "loss": 0.5},
            {"epoch": 1, "loss": 0.25, "acc": 60},
            {"epoch": 2, "loss": 0.1234, "test accuracy": 0.93},
        ],
    ),
    "columns": (
        "step 100 | loss 0.5 | ppl 12\nstep 200 | loss nan | ppl 11\n",
        [{"step": 100, "loss": 0.5, "ppl": 12}, {"step": 200, "loss": math.nan, "ppl": 11}],
    ),
    "JSON lines": (
        '{"epoch": 1, "loss": 0.5, "a": {"b": 2}, "t": "x"}\n{"epoch": 2, "loss": NaN}\n',
        [{"epoch": 1, "loss": 0.5, "a/b": 2}, {"epoch": 2, "loss": math.nan}],
    ),
    "Hugging Face's Trainer": (
        "{'loss': 0.5, 'learning_rate': 5e-05, 'epoch': 0.1}\n{'loss': nan, 'epoch': 0.2}\n"
        "{'loss': '0.4', 'epoch': '0.3'}\n",
        [
            {"epoch": 0.1, "loss": 0.5, "learning_rate": 5e-05},
            {"epoch": 0.2, "loss": math.nan},
            {"epoch": 0.3, "loss": 0.4},
        ],
    ),
    "tqdm": (
        "Epoch 1:  50%|█████     | 5/10 [00:01<00:01,  4.50it/s, loss=0.5]\r"
        "Epoch 1: 100%|██████████| 10/10 [00:01<00:00,  4.50it/s, loss=0.4]\n"
        " 50%|█████     | 5/10 [00:01<00:01,  4.50it/s]\n",
        [{"Epoch": 1, "step": 5, "loss": 0.5}, {"Epoch": 1, "step": 10, "loss": 0.4}],
    ),
    "Keras": (
        "Epoch 1/2\n100/100 [====] - 1s 5ms/step - loss: 0.5000 - val_loss: 0.4\n"
        "Epoch 2/2\n100/100 [====] - 1s 5ms/step - loss: 0.4000 - val_loss: 0.3\n",
        [{"Epoch": 1, "loss": 0.5, "val_loss": 0.4}, {"Epoch": 2, "loss": 0.4, "val_loss": 0.3}],
    ),
    "Stable-Baselines3": (
        "".join(
            f"----------\n| rollout/           |          |\n|    ep_rew_mean     | {reward}     |\n"
            f"| time/              |          |\n|    total_timesteps | {steps}     |\n----------\n"
            for reward, steps in ((22.4, 2048), (25, 4096))
        ),
        [
            {"rollout/ep_rew_mean": 22.4, "time/total_timesteps": 2048},
            {"rollout/ep_rew_mean": 25, "time/total_timesteps": 4096},
        ],
    ),
    "a logging library, with colours": (
        "2026-11-26 16:00:00,123 INFO train: step=100 loss=1.5e-3\n"
        "\x1b[32m[2026-11-26 16:00:01,123]\x1b[0m[__main__][INFO] - step=200 loss=1e-3 (12.5 it/s)\n",
        [{"step": 100, "loss": 0.0015}, {"step": 200, "loss": 0.001}],
    ),
    "what is no metric": (
        "Serving on http://localhost:6006\nlistening on localhost:8080\nversion: 2.0.1\nIP 10.0.0.1: 3\ntook 3 tries\n"
        "Loaded 60000 images\n{'broken': \nA(x=1)\ndone in 12:30\n",
        [],
    ),
}


@pytest.mark.parametrize("name", PRINTED)
def test_what_programs_print_becomes_rows(name: str) -> None:
    text, rows = PRINTED[name]
    assert [pytest.approx(row, nan_ok=True) for row in rows] == printed_rows(text)


def test_a_pattern_of_ones_own() -> None:
    text = "score -> 3\nnoise 4.5\nscore -> 5\n"
    assert printed_rows(text, metric_pattern(r"score -> (?P<score>\d+)")) == [{"score": 3}, {"score": 5}]
    assert printed_rows(text, metric_pattern(r"(?P<name>\w+) (-> )?(?P<value>[\d.]+)")) == [
        {"score": 3, "noise": 4.5},
        {"score": 5},
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<x>(", "no regular expression"),
        ("a(b)", "names no group"),
        ("../x.csv", "no file below"),
        ("", "write auto"),
    ],
)
def test_a_pattern_that_can_give_nothing_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_metrics(pattern)


def test_text_of_any_kind_gives_rows_or_none() -> None:
    odd = [
        "",
        "\0\x01" * 50,
        "{" * 100_000 + "}" * 3,
        "1" * 100_000,
        "=" * 10_000,
        "| a | 1 |" * 1000,
        "a=" * 5000 + "1",
        "a: 1_\n",
        "x=1" + "0" * 5000,
    ]
    for text in odd:
        assert len(printed_rows(text)) <= 1
    assert printed_rows("\n".join(f"name{'x' * number}=1" for number in range(1000))) == []
