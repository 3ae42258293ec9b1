"""Pruning simulated on learning curves: what was found after so many budgets, by rule."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from engine_parts.machine import Table
from runslot.search.asha import RungTable, Score, arrivals, winner
from runslot.search.objective import Objective
from runslot.search.pruner import Pruner, make_pruner

STEPS, ETA, SLOTS, NOISE = 81, 3, 2, 0.02
BUDGETS = (1, 2, 3, 5, 8)
OBJECTIVE = Objective("score")


class Curve:
    """A run that rises to an asymptote at a rate of its own, so that curves cross; noisy rows."""

    def __init__(self, seed: int, number: int) -> None:
        rng = Random(f"{seed}/{number}")
        self._noise = Random(f"{seed}/{number}/noise")
        self.best = rng.betavariate(2, 2)
        self.rate = math.exp(rng.uniform(math.log(0.3), math.log(1.2)))
        self.height = rng.uniform(0.5, 1)
        self.rows: list[tuple[float, float]] = []

    def true(self, step: float) -> float:
        return self.best - self.height * (step**-self.rate - STEPS**-self.rate)

    def run(self) -> None:
        """Take a step, and log it."""
        step = len(self.rows) + 1
        self.rows.append((step, self.true(step) + self._noise.gauss(0, NOISE)))


class RandomSearch:
    """Every run is whole."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.curves: list[Curve] = []

    def next_trial(self) -> int:
        """Return the trial that a free slot goes on with."""
        self.curves.append(Curve(self.seed, len(self.curves)))
        return len(self.curves) - 1

    def goes_on(self, trial: int) -> bool:
        """Tell whether a trial goes on after its last row."""
        return len(self.curves[trial].rows) < STEPS

    def incumbent(self) -> int | None:
        """Return the best trial by its last row, among the longest runs."""
        whole = [n for n, curve in enumerate(self.curves) if len(curve.rows) == STEPS]
        return max(whole, key=lambda n: self.curves[n].rows[-1][1], default=None)


class RayStopping(RandomSearch):
    """Ray Tune's ASHAScheduler, and the best by the last row (its `get_best_result`)."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._decide = _ray_scheduler() or _ray_rule()

    def goes_on(self, trial: int) -> bool:
        step, value = self.curves[trial].rows[-1]
        return self._decide(trial, int(step), value) and step < STEPS

    def incumbent(self) -> int | None:
        return max(range(len(self.curves)), key=lambda n: self.curves[n].rows[-1][1])


class OptunaStopping(RayStopping):
    """Optuna's SuccessiveHalvingPruner; the best by the last row, since whole trials are few."""

    def __init__(self, seed: int) -> None:
        RandomSearch.__init__(self, seed)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=ETA)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._trials: list[Any] = []

    def next_trial(self) -> int:
        self._trials.append(self._study.ask())
        return super().next_trial()

    def goes_on(self, trial: int) -> bool:
        import optuna

        step, value = self.curves[trial].rows[-1]
        self._trials[trial].report(value, int(step))
        if step < STEPS and not self._trials[trial].should_prune():
            return True
        state = (
            optuna.trial.TrialState.COMPLETE if step >= STEPS else optuna.trial.TrialState.PRUNED
        )
        self._study.tell(self._trials[trial], value if step >= STEPS else None, state=state)
        return False


class Runslot(RandomSearch):
    """ASHA of runslot, by promotion of runs that can pause, or by stopping."""

    def __init__(self, seed: int, *, can_pause: bool, words: str = "") -> None:
        super().__init__(seed)
        pruner = make_pruner(words or f"asha:first=1,eta={ETA},last={STEPS}")
        assert pruner is not None
        self.pruner: Pruner = pruner
        table = pruner.table("max")
        assert table is not None
        self.table: RungTable = table
        self.can_pause = can_pause

    def next_trial(self) -> int:
        promotion = self.pruner.promote(self.table) if self.can_pause else None
        if promotion is None:
            return super().next_trial()
        self.table = self.table.with_promotion(promotion)
        return promotion.trial

    def goes_on(self, trial: int) -> bool:
        rows = {0: self.curves[trial].rows}
        for rung, score in arrivals(self.table, trial, rows, OBJECTIVE):
            self.table, verdict = self.pruner.judge(
                self.table, trial, rung, Score(score.step, score.value), can_pause=self.can_pause
            )
            if verdict.kind != "continue":
                return False
        return super().goes_on(trial)

    def incumbent(self) -> int | None:
        best = winner(self.table)
        return None if best is None else best.trial


def simulate(make: Callable[[int], RandomSearch], seed: int) -> list[float]:
    """Return the regret after each of `BUDGETS`: how far the winner's whole run is from the best
    there is.
    """
    search = make(seed)
    slots = [search.next_trial() for _ in range(SLOTS)]
    regrets = []
    for tick in range(1, max(BUDGETS) * STEPS + 1):
        for slot, trial in enumerate(slots):
            search.curves[trial].run()
            if not search.goes_on(trial):
                slots[slot] = -1
        if tick in {STEPS * budget for budget in BUDGETS}:
            best = search.incumbent()
            regrets.append(1 - (0 if best is None else search.curves[best].true(STEPS)))
        slots = [search.next_trial() if trial < 0 else trial for trial in slots]
    return regrets


def _ray_scheduler() -> Callable[[int, int, float], bool] | None:
    """Return what asks Ray's own scheduler; None where Ray is not installed."""
    try:
        from ray.tune.schedulers import ASHAScheduler, TrialScheduler
    except ImportError:
        return None
    scheduler = ASHAScheduler(
        time_attr="step",
        metric="score",
        mode="max",
        max_t=STEPS,
        grace_period=1,
        reduction_factor=ETA,
    )
    trials: dict[int, Any] = {}

    def decide(number: int, step: int, value: float) -> bool:
        if number not in trials:
            trials[number] = type("Trial", (), {"trial_id": str(number)})()
            scheduler.on_trial_add(None, trials[number])
        result = {"step": step, "score": value, "training_iteration": step}
        return scheduler.on_trial_result(None, trials[number], result) == TrialScheduler.CONTINUE

    return decide


def _ray_rule() -> Callable[[int, int, float], bool]:
    """Return Ray's rule as documented: stop below the upper 1/eta of those that came to the rung
    before.
    """
    rungs: dict[int, list[float]] = {ETA**level: [] for level in range(4)}

    def decide(_number: int, step: int, value: float) -> bool:
        if step not in rungs:
            return True
        earlier = sorted(rungs[step])
        rungs[step].append(value)
        if not earlier:
            return True
        place = (1 - 1 / ETA) * (len(earlier) - 1)
        low, high = earlier[int(place)], earlier[min(int(place) + 1, len(earlier) - 1)]
        return value >= low + (high - low) * (place - int(place))

    return decide


def measure(seeds: int) -> Table:
    """Return the table of regrets."""
    missing = []
    has_ray = _ray_scheduler() is not None
    rules: dict[str, Callable[[int], RandomSearch]] = {
        "random, whole runs": RandomSearch,
        "Ray's ASHAScheduler" if has_ray else "Ray's rule, as documented": RayStopping,
    }
    if not has_ray:
        missing.append("Ray (its documented rule stands in)")
    try:
        import optuna  # noqa: F401

        rules["Optuna's SuccessiveHalvingPruner"] = OptunaStopping
    except ImportError:
        missing.append("Optuna")
    rules["runslot, median"] = lambda seed: Runslot(
        seed, can_pause=False, words=f"median:first=1,eta={ETA},last={STEPS}"
    )
    rules["runslot, asha by stopping"] = lambda seed: Runslot(seed, can_pause=False)
    rules["runslot, hyperband (promotion)"] = lambda seed: Runslot(
        seed, can_pause=True, words=f"hyperband:first=1,eta={ETA},last={STEPS}"
    )
    rules["runslot, asha by promotion"] = lambda seed: Runslot(seed, can_pause=True)
    regrets = {
        name: [simulate(make, seed) for seed in range(seeds)] for name, make in rules.items()
    }
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in regrets.items()
    }
    rows = [[name, *(f"{value:.3f}" for value in row)] for name, row in medians.items()]
    ray = next(name for name in medians if name.startswith("Ray"))
    rows.append(_ratios("promotion / Ray", medians["runslot, asha by promotion"], medians[ray]))
    return Table(
        "Pruning",
        f"""\
How far the whole run of the winner so far is from the best there is (0 to 1): medians of {seeds}
seeds, {SLOTS} slots, whole runs of {STEPS} steps, eta = {ETA}, curves that cross, noise {NOISE:g}.
A budget is the time of a whole run. A promoted run goes on from its snapshot, which costs nothing
here.""",
        ["", *(f"after {budget}" for budget in BUDGETS)],
        rows,
        missing,
    )


def _ratios(name: str, values: Sequence[float], base: Sequence[float]) -> list[str]:
    return [name, *(f"{value / other:.2f}" for value, other in zip(values, base, strict=True))]
