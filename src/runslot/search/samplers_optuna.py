"""Optuna's TPE over runslot's own record of the trials.

Imported only where it is asked for: `samplers` says what installs it. Each ask makes a sampler
anew, seeded by the search and the trial's number, over a view of the trials: nothing of Optuna's is
kept, on disk or in memory, that could differ after a resume. The view is a storage that copies
nothing, since Optuna's own storage in memory copies every trial at every ask.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from runslot.errors import NotInstalled, extra_said
from runslot.search.objective import Mode, merit
from runslot.search.samplers import QuasiRandomSampler, TrialState, seen_of, startup_of
from runslot.search.space import Proposed, SearchSpace, is_ordered
from runslot.variants.distributions import (
    Choice,
    Distribution,
    Integers,
    LogIntegers,
    LogUniform,
    Uniform,
)

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.storages import BaseStorage
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as Status
except ImportError as error:
    raise NotInstalled(
        f"the sampler tpe is Optuna's, which is not installed: {extra_said('search')}, or"
        f" --sampler random"
    ) from error

SEEN = (50, 250)
"""Of more finished trials so many of the best, and of the latest. Twenty-five make TPE's good side
at any number.
"""
_EPOCH = datetime(2000, 1, 1)
_STATES = {
    "running": Status.RUNNING,
    "complete": Status.COMPLETE,
    "pruned": Status.PRUNED,
    "failed": Status.FAIL,
}


class TpeSampler:
    """Optuna's TPE as a function of the trials."""

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self._codes: tuple[SearchSpace | None, dict[str, BaseDistribution]] = (None, {})
        """Of the space that was asked for last, whose parameters are the same in all trials."""
        self._frozen: dict[tuple[Any, ...], FrozenTrial | None] = {}
        self._sampler_kept: optuna.samplers.TPESampler | None = None

    def propose(
        self, space: SearchSpace, trials: Sequence[TrialState], number: int, seed: int, attempt: int
    ) -> Proposed:
        """Return what the sampler suggests after these trials."""
        direction = StudyDirection.MAXIMIZE if self.mode == "max" else StudyDirection.MINIMIZE
        model_trials = self.seen(space, trials)
        if sum(trial.state.is_finished() for trial in model_trials) < startup_of(space):
            return QuasiRandomSampler().propose(space, trials, number, seed, attempt)
        digest = hashlib.sha256(f"{seed}/{number}/{attempt}".encode()).digest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what this or that version has as experimental
            sampler = self._sampler(int.from_bytes(digest[:4], "big"), space)
            study = optuna.Study(
                study_name=_TrialStorage.NAME,
                storage=_TrialStorage(model_trials, direction),
                sampler=sampler,
            )
            trial = _frozen(number, Status.RUNNING, {}, {}, None, None)
            codes = self._codes_of(space)
            together = {name: code for name, code in codes.items() if not code.single()}
            relative_space = together or sampler.infer_relative_search_space(study, trial)
            relative = sampler.sample_relative(study, trial, relative_space)

            def choose(name: str, distribution: Distribution) -> Any:
                code = codes.get(name) or code_of(distribution)
                title = _title(space, name, distribution)
                if title in relative and relative_space[title] == code:
                    internal = relative[title]
                else:
                    internal = sampler.sample_independent(study, trial, title, code)
                return decode(distribution, internal)

            return space.propose(number, choose)

    def _sampler(self, seed: int, space: SearchSpace) -> optuna.samplers.TPESampler:
        """Return a sampler with this seed.

        Making one takes half a millisecond, for its generators of random numbers. Where it keeps
        nothing else, as in a space without a function, it is seeded anew, as making it would do.
        """
        if self._sampler_kept is not None and space.function is None:
            for generator in (self._sampler_kept, self._sampler_kept._random_sampler):
                generator._rng.rng.seed(seed)
            return self._sampler_kept
        sampler = optuna.samplers.TPESampler(  # the last two are defaults only from Optuna 5 on
            seed=seed,
            n_startup_trials=1,
            group=space.function is not None,
            multivariate=True,
            constant_liar=True,
        )
        self._sampler_kept = sampler if space.function is None and space.parameters else None
        return sampler

    def _codes_of(self, space: SearchSpace) -> dict[str, BaseDistribution]:
        """Return what all trials have in common, which Optuna would look for in every trial;
        nothing of a function.
        """
        if self._codes[0] is not space:
            parameters = sorted(space.parameters.items())
            self._codes = (
                space,
                {name: code_of(distribution) for name, distribution in parameters},
            )
        return self._codes[1]

    def seen(self, space: SearchSpace, trials: Sequence[TrialState]) -> list[FrozenTrial]:
        """Return the trials that the model sees, by number: all that run, and of the finished ones
        a limited number.
        """
        finished, running = seen_of(trials, self.mode, *SEEN)
        numbers = [
            trial.value
            for trial in finished
            if trial.value is not None and not math.isnan(trial.value)
        ]
        worst = min(numbers, key=lambda value: merit(value, self.mode), default=None)
        frozen = (
            self._freeze(space, trial, worst)
            for trial in sorted(finished + running, key=lambda trial: trial.number)
        )
        return [trial for trial in frozen if trial is not None]

    def _freeze(
        self, space: SearchSpace, trial: TrialState, worst: float | None
    ) -> FrozenTrial | None:
        """Return a trial as Optuna has it; None for one of another space, or where none has a
        number yet.
        """
        value = worst if trial.value is None or math.isnan(trial.value) else trial.value
        key = (trial.number, trial.status, value, trial.step)
        if key not in self._frozen:
            proposed = space.replay(trial.number, trial.params)
            if proposed is None or (value is None and trial.status != "running"):
                return None
            params, codes = {}, {}
            for name, distribution in proposed.distributions.items():
                title = _title(space, name, distribution)
                params[title] = encode(distribution, proposed.params[name])
                codes[title] = code_of(distribution)
            self._frozen[key] = _frozen(
                trial.number, _STATES[trial.status], params, codes, value, trial.step
            )
        return self._frozen[key]


def _title(space: SearchSpace, name: str, distribution: Distribution) -> str:
    """Return the name of a parameter for Optuna. A function may ask for the same one of other
    choices, by what it got before: their codes mean other values, so that these are others to it.
    """
    if space.function is None:
        return name
    if isinstance(distribution, Choice) or getattr(distribution, "step", None) is not None:
        return f"{name} of {distribution!r}"
    return f"{name} of {type(distribution).__name__}"


def code_of(distribution: Distribution) -> BaseDistribution:
    """Return Optuna's distribution of the coded values.

    Steps and ordered numbers are coded by their place, as a whole number, so that a model learns
    that neighbours are alike; other choices too, but without an order, so that lists and dicts may
    be choices.
    """
    if isinstance(distribution, (LogUniform, Uniform)) and distribution.size is None:
        return FloatDistribution(
            distribution.low, distribution.high, log=isinstance(distribution, LogUniform)
        )
    if isinstance(distribution, LogIntegers):
        return IntDistribution(distribution.low, distribution.high, log=True)
    size = distribution.size or 1
    if isinstance(distribution, Choice):
        size = len(distribution.options)
        if not is_ordered(distribution.options):
            return CategoricalDistribution(tuple(range(size)))
    return IntDistribution(0, size - 1)


def encode(distribution: Distribution, value: Any) -> float:
    """Return the code of a value."""
    if isinstance(distribution, Choice):
        return distribution.index(value) or 0
    if isinstance(distribution, (Integers, Uniform)) and distribution.step is not None:
        return int((value - distribution.low) / distribution.step + 0.5)
    return float(value) if isinstance(distribution, (Uniform, LogUniform)) else int(value)


def decode(distribution: Distribution, code: Any) -> Any:
    """Return the value of a code, floats to as many digits as random draws have."""
    if isinstance(distribution, Choice):
        return distribution.at((code + 0.5) / len(distribution.options))
    if isinstance(distribution, Integers):
        return distribution.low + int(code) * distribution.step
    if isinstance(distribution, LogIntegers):
        return int(code)
    if isinstance(distribution, Uniform) and distribution.step is not None:
        return distribution.value(int(code))
    if isinstance(distribution, LogUniform):
        low, high = math.log(distribution.low), math.log(distribution.high)
        return distribution.at((math.log(code) - low) / (high - low))
    assert isinstance(distribution, Uniform)
    return distribution.at((code - distribution.low) / (distribution.high - distribution.low))


def _frozen(
    number: int,
    status: Status,
    params: Mapping[str, Any],
    codes: Mapping[str, BaseDistribution],
    value: float | None,
    step: float | None,
) -> FrozenTrial:
    is_pruned = status == Status.PRUNED
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=status,
        value=value if status == Status.COMPLETE else None,
        datetime_start=_EPOCH,
        datetime_complete=_EPOCH if status.is_finished() else None,
        params=dict(params),
        distributions=dict(codes),
        user_attrs={},
        system_attrs={},
        intermediate_values={round(step or 0): value} if is_pruned and value is not None else {},
    )


class _TrialStorage(BaseStorage):
    """The trials of one ask, as Optuna reads a storage; nothing is written to it."""

    NAME = "runslot"

    def __init__(self, trials: Sequence[FrozenTrial], direction: StudyDirection) -> None:
        self._trials = list(trials)
        self._direction = direction

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [self._direction]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[Status] | None = None
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return next(trial for trial in self._trials if trial._trial_id == trial_id)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """TPE leaves its proposal for other processes, of which there are none."""

    def _refuse(self, *_arguments: Any, **_keywords: Any) -> NoReturn:
        raise NotImplementedError("a view of trials is read, not written")

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refuse
    get_all_studies = create_new_trial = set_trial_param = set_trial_state_values = _refuse
    set_trial_intermediate_value = set_trial_user_attr = _refuse
