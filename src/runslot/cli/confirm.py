"""`runslot confirm`: run the best variants again on fresh seeds, after which only these count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from runslot.cli.parameters import Directory, JsonLines, Quiet, flag, option, value
from runslot.errors import InvalidInput
from runslot.terminal_text import echo

if TYPE_CHECKING:
    from runslot.experiment.rundir import ExperimentDir
    from runslot.results.confirmation import Confirmation

_TOP = value(metavar="N", least=1, help="How many of the best variants.")
_SEEDS = value(metavar="N", least=1, help="On how many fresh seeds each.")


def confirm(
    directory: Directory = None,
    top: Annotated[int, _TOP] = 3,
    seeds: Annotated[int, _SEEDS] = 5,
    metric: Annotated[str | None, option("metric", "results")] = None,
    mode: Annotated[str | None, option("mode", "results")] = None,
    strict: Annotated[bool, option("strict", "resume")] = False,
    accept_code_change: Annotated[bool, option("accept_code_change", "resume")] = False,
    dry_run: Annotated[bool, flag("--dry-run", help="Say what would run; start nothing.")] = False,
    json: JsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Run the best variants again on fresh seeds: the best of many is partly the luckiest.

    From then on `results` counts these runs alone, since those before chose the variants.
    """
    from runslot.cli.launch import on_change, resume_experiment, saying
    from runslot.cli.places import experiments_to_act_on
    from runslot.launch.code_change import settle_resume

    experiments = experiments_to_act_on(directory)
    if len(experiments) > 1:
        raise InvalidInput(
            f"{directory} holds {len(experiments)} experiments; confirm takes one, as"
            f" {experiments[-1].path}"
        )
    experiment = experiments[0]
    plan = _plan(experiment, top, seeds, metric, mode)
    if json and dry_run:
        _print_planned(experiment, plan)
    elif not quiet and not json:
        _say(plan, top)
    if dry_run:
        return
    settle_resume(
        experiment, on_change(strict, accept_code_change, json, quiet), saying(json, quiet)
    )
    _record(experiment, plan)
    raise SystemExit(resume_experiment(experiment, False, False, json, quiet))


def _plan(
    experiment: ExperimentDir, top: int, seeds: int, metric: str | None, mode: str | None
) -> Confirmation:
    """Return what is to be confirmed; `InvalidInput` where that cannot be told or run."""
    from runslot.cli.verdicts import Question
    from runslot.experiment.states import ENDED
    from runslot.results.confirmation import Confirmation, best_variants, read_confirmation

    file = experiment.read()
    if file.front_door != "native" or not file.seeding:
        raise InvalidInput(
            f"{experiment.path} was launched by a script, which says its seeds itself: run it with"
            " the best variants and further seeds"
        )
    if file.search is not None:
        raise InvalidInput(
            f"{experiment.path} is a search, whose runs it lists itself: give it --test-seeds, or"
            " launch its best variants anew"
        )
    way = {"max": "max", "min": "min", None: None}.get(mode, "")
    if way == "":
        raise InvalidInput(f"--mode {mode} is neither max nor min")
    question = Question(metric, way, (), "nan", "mean-ci", 0.95, None, (), None, ())  # type: ignore[arg-type]  # one of its words, as just checked
    comparison = question.compare([experiment.path])
    previous = read_confirmation(experiment)
    open_states = [
        state
        for state in comparison.results.runs["state"]
        if state not in ENDED or state in {"lost", "stopped"}
    ]
    if previous is not None and (open_states or comparison.accounting.waiting):
        raise InvalidInput(
            f"the runs that confirm {experiment.path} have not all ended: runslot resume"
            f" {experiment.path}"
        )
    if comparison.metric is None:
        raise InvalidInput(f"no run of {experiment.path} has logged a metric to choose by")
    names = best_variants(comparison, top)
    if not names:
        raise InvalidInput(
            f"no variant of {experiment.path} has a {comparison.metric} to choose by:"
            f" {comparison.accounting.line()}"
        )
    earlier = [run.seed for run in experiment.read_runs() if isinstance(run.seed, int)]
    first = max(earlier, default=-1) + 1
    fresh = tuple(range(first, first + seeds))
    return Confirmation(tuple(names), fresh, comparison.metric, time.time())


def _record(experiment: ExperimentDir, plan: Confirmation) -> None:
    """Add the runs to the experiment, and write down that only they count."""
    from runslot.engines.open_experiment import OpenExperiment
    from runslot.experiment.files import write_json
    from runslot.launch.create import add_seeds

    opened = OpenExperiment.open(experiment, {})
    try:
        add_seeds(experiment, plan.variants, plan.seeds)
        write_json(experiment.confirmation_file, plan.to_json())
    finally:
        opened.close()


def _print_planned(experiment: ExperimentDir, plan: Confirmation) -> None:
    """Print what would run as events, a line a run, as `run --dry-run --json` does."""
    from json import dumps

    for variant in plan.variants:
        for seed in plan.seeds:
            place = str(experiment.path / variant)
            print(dumps({"event": "planned", "directory": place, "name": variant, "seed": seed}))


def _say(plan: Confirmation, top: int) -> None:
    count = len(plan.variants)
    span = f"{plan.seeds[0]}-{plan.seeds[-1]}" if len(plan.seeds) > 1 else str(plan.seeds[0])
    runs = count * len(plan.seeds)
    subject = f"the best {count}" if count > 1 else "the best"
    few = f" (there are no more than {count})" if count < top else ""
    echo(
        f"{subject} by {plan.metric}{few}, again on fresh seeds {span}: {runs} runs, which alone"
        " count from then on"
    )
    for name in plan.variants:
        echo(f"  {name or 'the one variant'}")
