"""Metrics that scripts print, in the words of the programs that people run."""

from __future__ import annotations

import math

import pytest

from runslot.errors import InvalidInput
from runslot.experiment.metrics import check_metrics, metric_pattern
from runslot.results.formats.printed_rows import printed_rows

PRINTED: dict[str, tuple[str, list[dict[str, float]]]] = {
    "PyTorch's MNIST example": (
        (
            "Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300\nTrain Epoch: 1 [640/60000 (1%)]\tLoss:"
            " 1.9\n\nTest set: Average loss: 0.0287, Accuracy: 9913/10000 (99%)\n\nTrain Epoch: 2"
            " [0/60000 (0%)]\tLoss: 0.3\n"
        ),
        [
            {"Epoch": 1, "Loss": 2.3},
            {"Epoch": 1, "Loss": 1.9, "Average loss": 0.0287, "Accuracy": 0.9913},
            {"Epoch": 2, "Loss": 0.3},
        ],
    ),
    "print, in the ways that people print": (
        (
            "Namespace(lr=0.1, epochs=3)\nUsing device: cuda:0\nepoch 0 loss 0.5\nepoch 1:"
            " loss=0.25 acc: 60.0%\nepoch [2/10], loss: 0.1234\ntest accuracy: 0.93\n"
        ),
        [
            {"epoch": 0, "loss": 0.5},
            {"epoch": 1, "loss": 0.25, "acc": 60},
            {"epoch": 2, "loss": 0.1234, "test accuracy": 0.93},
        ],
    ),
    "logging, as it is without a format": (
        (
            "INFO:root:epoch=1 loss=0.5\nINFO:my.module:epoch=2 loss=0.25\nINFO:__main__:{'epoch':"
            " 3, 'loss': 0.125}\n"
        ),
        [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}, {"epoch": 3, "loss": 0.125}],
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
        (
            "{'loss': 0.5, 'learning_rate': 5e-05, 'epoch': 0.1}\n{'loss': nan, 'epoch': 0.2}\n"
            "{'loss': '0.4', 'epoch': '0.3'}\n"
        ),
        [
            {"epoch": 0.1, "loss": 0.5, "learning_rate": 5e-05},
            {"epoch": 0.2, "loss": math.nan},
            {"epoch": 0.3, "loss": 0.4},
        ],
    ),
    "tqdm": (
        (
            "Epoch 1:  50%|█████     | 5/10 [00:01<00:01,  4.50it/s, loss=0.5]\r"
            "Epoch 1: 100%|██████████| 10/10 [00:01<00:00,  4.50it/s, loss=0.4]\n"
            " 50%|█████     | 5/10 [00:01<00:01,  4.50it/s]\n"
        ),
        [{"Epoch": 1, "batch": 5, "loss": 0.5}, {"Epoch": 1, "batch": 10, "loss": 0.4}],
    ),
    "Keras": (
        (
            "Epoch 1/2\n100/100 [====] - 1s 5ms/step - loss: 0.5000 - val_loss: 0.4\n"
            "Epoch 2/2\n100/100 [====] - 1s 5ms/step - loss: 0.4000 - val_loss: 0.3\n"
        ),
        [{"Epoch": 1, "loss": 0.5, "val_loss": 0.4}, {"Epoch": 2, "loss": 0.4, "val_loss": 0.3}],
    ),
    "Stable-Baselines3": (
        "".join(
            f"----------\n| rollout/           |          |\n|    ep_rew_mean     | {reward}    "
            f" |\n| time/              |          |\n|    total_timesteps | {steps}    "
            " |\n----------\n"
            for reward, steps in ((22.4, 2048), (25, 4096))
        ),
        [
            {"rollout/ep_rew_mean": 22.4, "time/total_timesteps": 2048},
            {"rollout/ep_rew_mean": 25, "time/total_timesteps": 4096},
        ],
    ),
    "a logging library, with colours": (
        (
            "2026-11-26 16:00:00,123 INFO train: step=100 loss=1.5e-3\n\x1b[32m[2026-11-26"
            " 16:00:01,123]\x1b[0m[__main__][INFO] - step=200 loss=1e-3 (12.5 it/s)\n"
        ),
        [{"step": 100, "loss": 0.0015}, {"step": 200, "loss": 0.001}],
    ),
    "PyTorch's ImageNet example, with its averages": (
        (
            "=> creating model 'resnet18'\nEpoch: [0][  1/5005]\tTime  6.384 ( 6.384)\tLoss 7.0e+00"
            " (7.0e+00)\tAcc@1   0.39 (  0.20)\n *   Acc@1 0.500 Acc@5 0.900\n"
        ),
        [
            {"Epoch": 0, "Time": 6.384, "Loss": 7, "Acc@1": 0.39},
            {"Epoch": 0, "Acc@1": 0.5, "Acc@5": 0.9},
        ],
    ),
    "names of several words before a blank": (
        (
            "step 0: train loss 4.28, val loss 4.27\niter 0: loss 4.3, time 20.21ms\n"
            "step 250: train loss 2.4, val loss 2.5\n"
        ),
        [
            {"step": 0, "train loss": 4.28, "val loss": 4.27},
            {"step": 0, "iter": 0, "loss": 4.3, "time": 20.21},
            {"step": 250, "iter": 0, "train loss": 2.4, "val loss": 2.5},
        ],
    ),
    "sentences": (
        (
            "Average loss at step 2000: 4.9\nEvaluation over 10 episodes: 200.2\n"
            "Accuracy of the network on the 10000 test images: 55 %\nTest accuracy is 0.93\n"
        ),
        [
            {
                "step": 2000,
                "Average loss": 4.9,
                "Evaluation": 200.2,
                "Accuracy of the network on the test images": 55,
                "Test accuracy": 0.93,
            }
        ],
    ),
    "numbers of NumPy, torch and JAX, and thousands": (
        (
            "Epoch 1: {'loss': np.float64(0.5), 'acc': tensor(0.9, device='cuda:0',"
            " grad_fn=<MeanBackward0>)}\n{'epoch': 2, 'loss': np.float32(0.25), 'acc': Array(0.8,"
            " dtype=float32)}\nreturn: 1,234.5\n"
        ),
        [
            {"Epoch": 1, "loss": 0.5, "acc": 0.9},
            {"Epoch": 1, "epoch": 2, "loss": 0.25, "acc": 0.8, "return": 1234.5},
        ],
    ),
    "XGBoost and LightGBM": (
        "[0]\ttrain-logloss:0.6\teval-logloss:0.65\n[10]\tvalid_0's auc: 0.95\n",
        [
            {"iteration": 0, "train-logloss": 0.6, "eval-logloss": 0.65},
            {"iteration": 10, "valid_0's auc": 0.95},
        ],
    ),
    "columns of skorch": (
        (
            "  epoch    train_loss    valid_acc     dur\n-------  ------------  ----------- "
            " ------\n      1        0.6869       0.6000  0.0233\n      2        0.5869      "
            " 0.7000  0.0233\n"
        ),
        [
            {"epoch": 1, "train_loss": 0.6869, "valid_acc": 0.6, "dur": 0.0233},
            {"epoch": 2, "train_loss": 0.5869, "valid_acc": 0.7, "dur": 0.0233},
        ],
    ),
    "columns with commas": (
        "epoch,loss\n1,0.5\n2,0.25\n",
        [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}],
    ),
    "Lightning's table": (
        (
            "Epoch 1: 100%|███| 2/2 [00:00<00:00, 50.0it/s, v_num=0, train_loss=0.42]\n"
            "┃        Test metric        ┃       DataLoader 0        ┃\n"
            "│         test_acc          │    0.920000016689300      │\n"
        ),
        [{"Epoch": 1, "batch": 2, "train_loss": 0.42, "test_acc": 0.9200000166893}],
    ),
    "Lightning's bar of rich": (
        "Epoch 1/1  ━━━━━━ 4/4 0:00:00 • 0:00:00 56.77it/s train_loss: 0.009\n",
        [{"Epoch": 1, "train_loss": 0.009}],
    ),
    "tqdm, in its description, in thousands, without an end": (
        (
            "loss 0.5:  50%|█████     | 1.50k/3.00k [00:01<00:01,  4.50it/s]\r3000it [00:02,"
            " 100it/s, loss=0.4]\n"
        ),
        [{"loss": 0.5, "step": 1500}, {"loss": 0.4, "step": 3000}],
    ),
    "the best of all rows, which is no row": (
        (
            "epoch 1 acc 0.5\nepoch 2 acc 0.7\nepoch 3 acc 0.6\nBest acc: 0.70 at epoch 2\nLoading"
            " best model (epoch 2)\nRestoring model from epoch 2\ntest acc: 0.65\n"
        ),
        [
            {"epoch": 1, "acc": 0.5},
            {"epoch": 2, "acc": 0.7},
            {"epoch": 3, "acc": 0.6, "Best acc": 0.7, "test acc": 0.65},
        ],
    ),
    "folds": (
        "Fold 1\nepoch 1 loss 0.5\nepoch 2 loss 0.4\nFold 2\nepoch 1 loss 0.6\n",
        [
            {"Fold": 1, "epoch": 1, "loss": 0.5},
            {"Fold": 1, "epoch": 2, "loss": 0.4},
            {"Fold": 2, "epoch": 1, "loss": 0.6},
        ],
    ),
    "settings before the numbers begin": (
        (
            "lr: 0.1\nbatch_size: 64\nConfig: dropout=0.5 epochs=3\n{'wd': 0.1}\nTotal params:"
            " 1,234,567\nepoch 1 loss 0.5\nepoch 2 loss 0.4\ntest loss: 0.45\n"
        ),
        [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4, "test loss": 0.45}],
    ),
    "what libraries say": (
        (
            "torch-2.1.0-cp310-cp310-manylinux1_x86_64.whl (670.2 MB)\n  ━━━━ 670.2/670.2 MB 2.1"
            " MB/s eta 0:00:00\nYou are using pip version 20.2.3; however, version 24.0 is"
            " available.\nx.py:460: ConvergenceWarning: lbfgs failed to converge"
            " (status=1):\nValueError: invalid value: 3\nMemory: 1024MiB / 8192MiB\n|  N/A   32C   "
            " P0    43W / 300W |   1024MiB / 16384MiB |      0%      Default |\n  (0):"
            " Linear(in_features=4, out_features=64, bias=True)\nargs: Namespace(lr=0.1)\nCUDA"
            " version: 12.1\nPython: 3.10\ngit sha: 12345678\nwrote out/lr-0.1/run_0.json in"
            " 1.23s\nrank 0 of 4\nseed: 3\nx: (3, 4)\nW0102 10:11:12.345678 140234 run.py:766]"
            " Setting OMP_NUM_THREADS to 1 in default\ndate=2024-01-02\nIncrease the number of"
            " iterations to improve the convergence (max_iter=3).\nscores: [0.8  0.79 0.81]\nTotal"
            " params: 5\nModules in train mode: 1\nTPU available: False, using: 0 TPU cores\n"
        ),
        [],
    ),
    "what is no metric": (
        (
            "Serving on http://localhost:6006\nlistening on localhost:8080\nversion: 2.0.1\nIP"
            " 10.0.0.1: 3\ntook 3 tries\nLoaded 60000 images\n{'broken': \nA(x=1)\ndone in 12:30\n"
        ),
        [],
    ),
}


@pytest.mark.parametrize("name", PRINTED)
def test_what_programs_print_becomes_rows(name: str) -> None:
    text, rows = PRINTED[name]
    assert [pytest.approx(row, nan_ok=True) for row in rows] == printed_rows(text)


def test_a_pattern_of_ones_own() -> None:
    text = "score -> 3\nnoise 4.5\nscore -> 5\n"
    assert printed_rows(text, metric_pattern(r"score -> (?P<score>\d+)")) == [
        {"score": 3},
        {"score": 5},
    ]
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
        '{"a": 1' + "0" * 400 + "}",
        "{'a': 1" + "0" * 400 + "}",
        "{1: 2, (1, 2): 3, None: 'nan'}",
    ]
    for text in odd:
        assert len(printed_rows(text)) <= 1
    assert printed_rows("\n".join(f"name{'x' * number}=1" for number in range(1000))) == []


def test_a_hyperparameter_that_is_printed_is_no_metric_until_it_changes() -> None:
    text = "lr=0.1 wd=0.5 loss=3\nlr=0.1 wd=0.4 loss=2\n"
    assert printed_rows(text, settings={"lr": 0.1, "wd": 0.5, "name": "x"}) == [
        {"wd": 0.5, "loss": 3},
        {"wd": 0.4, "loss": 2},
    ]


def test_a_bar_that_is_drawn_a_million_times_is_looked_at_now_and_then() -> None:
    text = "\r".join(
        f" 1%|█ | {count}/99999 [00:01<00:01,  4.50it/s, loss=0.5]" for count in range(10_000)
    )
    rows = printed_rows(text)
    assert 500 < len(rows) <= 1000
    assert rows[-1]["step"] == 9999
