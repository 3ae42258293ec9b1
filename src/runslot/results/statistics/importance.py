"""Which hyperparameters matter: Optuna's fANOVA (Hutter et al. 2014) over the runs that were made."""

from __future__ import annotations

import math
from typing import Any

from runslot.errors import InvalidInput, NotInstalled
from runslot.results.results import Results
from runslot.results.summary import Mode

_FEWEST = 4


def importance(
    results: Results, metric: str, mode: Mode | None = None, by: str = "final", *, seed: int = 0, x: str | None = None
) -> dict[str, float]:
    """Return the share of the variance of `metric` that each varying parameter explains, largest first; they sum to 1.

    Runs without a number are left out. Numbers are taken as a range (on a log scale where all are positive and span
    two decades), anything else as choices; runs that lack a parameter take part with a choice of its own. Raises
    `NotInstalled` without Optuna and scikit-learn, `InvalidInput` for fewer than four runs.
    """
    try:
        import optuna
        from optuna.importance import FanovaImportanceEvaluator

        evaluator = FanovaImportanceEvaluator(seed=seed)
    except ImportError as error:
        message = "hyperparameter importance needs Optuna and scikit-learn: pip install optuna scikit-learn"
        raise NotInstalled(message) from error
    runs = results.scores(metric, mode, by, x=x)
    runs = runs.filter(runs["score"].is_not_null() & runs["score"].is_finite())
    names = [name for name in results.parameters if runs[name].n_unique() > 1]
    if runs.height < _FEWEST or not names:
        raise InvalidInput(
            f"{runs.height} runs with a number and {len(names)} varying parameters are too few to tell what matters"
        )
    if runs["score"].n_unique() == 1:
        raise InvalidInput(
            f"all {runs.height} runs have the same score, so that no hyperparameter explains a difference"
        )
    columns = {name: _dimension(runs[name].to_list()) for name in names}
    study = _study(optuna, columns, runs["score"].to_list())
    try:
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except RuntimeError as error:  # its trees may find nothing to split by, where scores hardly differ
        raise InvalidInput(f"the scores differ too little to tell what matters ({error})") from error
    return {names[int(label)]: float(share) for label, share in found.items()}


def _study(optuna: Any, columns: dict[str, tuple[Any, list[Any]]], scores: list[float]) -> Any:
    """Return a study in memory with a trial a run; parameters go by their numbers, since names may be anything."""
    distributions = {str(i): distribution for i, (distribution, _) in enumerate(columns.values())}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(level)
    for row, score in enumerate(scores):
        parameters = {str(i): values[row] for i, (_, values) in enumerate(columns.values())}
        study.add_trial(optuna.trial.create_trial(params=parameters, distributions=distributions, value=score))
    return study


def _dimension(values: list[Any]) -> tuple[Any, list[Any]]:
    """Return Optuna's distribution of a parameter, and its values as that distribution has them."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0 and high / low >= 100), [float(v) for v in values]
    choices = sorted(set(map(str, values)))
    return CategoricalDistribution(choices), [str(v) for v in values]
