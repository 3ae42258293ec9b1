"""What an ask costs, by the number of trials so far, beside Optuna's study in memory.

Time of the processor, since an ask only computes: others' work on the machine does not count.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable

from engine_parts.machine import Table
from runslot.search.samplers import Asker, TrialState
from runslot.search.space import parse_space
from runslot.search.start import make_sampler

SPACE = parse_space(
    [
        "lr=loguniform(1e-5,1e-1)",
        "decay=uniform(0,1)",
        "layers=integers(1,8)",
        "act=choice(relu,gelu,silu)",
        "batch=choice(16,32,64,128)",
    ]
)
COUNTS = (30, 100, 300, 1000, 3000)


def history(count: int) -> list[TrialState]:
    """Return finished trials, drawn at random."""
    asker = Asker(SPACE, make_sampler("random", "max"), 0)
    trials: list[TrialState] = []
    for number in range(count):
        proposed = asker.sampler.propose(SPACE, trials, number, 0, 0)
        trials.append(TrialState(number, proposed.params, "complete", value(proposed.params)))
    return trials


def value(params: dict) -> float:
    return -abs(params["layers"] - 4) - params["decay"] + (params["act"] == "gelu")


def ours(name: str, trials: list[TrialState], count: int, repeats: int) -> float:
    """Return the median time of telling a trial and asking for the next, in ms."""
    asker = Asker(SPACE, make_sampler(name, "max"), 1)
    asker.ask(trials[:count], count)
    durations = []
    for number in range(count, count + repeats):
        start = time.process_time()
        asker.ask(trials[: number + 1], number + 1)
        durations.append(time.process_time() - start)
    return 1000 * statistics.median(durations)


def optunas(trials: list[TrialState], count: int, repeats: int) -> float:
    """Return the same of a study of Optuna's in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=1, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    codes = {
        "lr": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
        "decay": optuna.distributions.FloatDistribution(0, 1),
        "layers": optuna.distributions.IntDistribution(1, 8),
        "act": optuna.distributions.CategoricalDistribution(("relu", "gelu", "silu")),
        "batch": optuna.distributions.CategoricalDistribution((16, 32, 64, 128)),
    }
    study.add_trials(
        [
            optuna.trial.create_trial(params=trial.params, distributions=codes, value=trial.value)
            for trial in trials[:count]
        ]
    )
    durations = []
    for _ in range(repeats):
        start = time.process_time()
        trial = study.ask(codes)
        study.tell(trial, value(trial.params))
        durations.append(time.process_time() - start)
    return 1000 * statistics.median(durations)


def measure(repeats: int = 15) -> Table:
    """Return the table."""
    trials = history(max(COUNTS) + repeats + 1)
    has_optuna = importlib.util.find_spec("optuna") is not None
    contestants: dict[str, Callable[[int], float]] = {
        f"runslot, {name}": lambda count, name=name: ours(name, trials, count, repeats)
        for name in ("auto", "tpe", "gp", "cmaes", "qmc", "random")
        if has_optuna or name in {"qmc", "random"}
    }
    missing = []
    if has_optuna:
        contestants["Optuna's TPE, its study in memory"] = lambda count: optunas(
            trials, count, repeats
        )
    else:
        missing.append("Optuna")
    times = {
        name: [contestant(count) for count in COUNTS] for name, contestant in contestants.items()
    }
    return Table(
        "What an ask costs",
        f"""\
Telling a trial and asking for the next, in ms of the processor: medians of {repeats}, by the number
of trials so far. Five parameters. From 300 finished trials on TPE sees the best 50 and the latest
250.""",
        ["", *(f"{count:,} trials" for count in COUNTS)],
        [[name, *(f"{duration:.1f}" for duration in row)] for name, row in times.items()],
        missing,
    )
