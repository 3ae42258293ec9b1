"""What `runslot run` does, once its command line has been read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runslot.cli.words import Words
    from runslot.launch.experiment import Experiment


def run_from(options: Mapping[str, Any], command: Sequence[str] | None) -> int:
    """Carry out what the options say, by the names of `run`'s parameters, and return the exit
    status.
    """
    _get_ready(options, command)
    from runslot.cli.arguments import add_options, words_of_target
    from runslot.cli.build import experiment_of

    words = words_of_target(
        options["target"], command, options["set_"] or (), options["code"] is not None
    )
    add_options(words, options)
    into = options["into"]
    if into is not None:
        from runslot.cli.places import one_experiment

        into = one_experiment(into).path
    experiment = experiment_of(words, into, options)
    experiment = _with_limits(_as_scripts(experiment, options), options)
    _say_notes(words, options)
    json, quiet, notify = options["json"], options["quiet"], words.read().get("notify", ())
    if options["dry_run"]:
        from runslot.cli.dry_run import print_plan

        print_plan(experiment, json)
        return 0
    if options["detach"]:
        from runslot.cli.launch import run_detached

        return run_detached(experiment, json, quiet, notify)

    from runslot.cli.launch import run_experiment

    return run_experiment(experiment, json, quiet, notify, options["wait"])


def _say_notes(words: Words, options: Mapping[str, Any]) -> None:
    """Say of what was given what may be meant otherwise, before anything starts."""
    if not words.notes:
        return
    from runslot.cli.render.observer import saying
    from runslot.engines.events import Said

    for note in words.notes:
        saying(options["json"], options["quiet"])(Said(f"note: {note}"))


def _with_limits(experiment: Experiment, options: Mapping[str, Any]) -> Experiment:
    """Return the experiment with the limits of rented machines that the command line gives."""
    if not options["yes"] and options["max_cost"] is None and options["max_hours"] is None:
        return experiment
    from runslot.cli.launch import agree, limited

    agree(options["yes"])
    launcher = limited(experiment.launcher(), options["max_cost"], options["max_hours"])
    return experiment if launcher is None else replace(experiment, on=launcher)


def _as_scripts(experiment: Experiment, options: Mapping[str, Any]) -> Experiment:
    """Return the experiment with a launcher that writes its scripts alone, where that is asked
    for.
    """
    if not options["script_only"]:
        return experiment
    from runslot.errors import InvalidInput

    launcher = experiment.launcher()
    if launcher is None or not launcher.scripts:
        raise InvalidInput(
            "--script-only writes scripts for Slurm or PBS: name a cluster with --on, as --on slurm"
        )
    return replace(experiment, on=launcher.with_values(script_only=True))


def _get_ready(options: Mapping[str, Any], command: Sequence[str] | None) -> None:
    """Let the process that starts runs here get ready while their launch is worked out, where it
    will be needed.
    """
    if (
        options["dry_run"]
        or options["detach"]
        or options.get("on") is not None
        or options["start"] is not None
    ):
        return
    if any(options[name] is not None for name in ("python", "uv", "conda")):
        return
    target = options["target"] or ""
    if command is not None or ":" in target:
        import os
        import sys

        from runslot.launch.interpreter import active_environment

        if command is None and active_environment(os.environ) is not None:
            return

        from runslot.engines.local.template import TemplateProcess

        TemplateProcess.expect(sys.executable, bare=command is not None)
