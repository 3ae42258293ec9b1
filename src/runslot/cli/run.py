"""What `runslot run` does, once its command line has been read; a plain one is read here as well.

A plain `runslot run …` is read without the library that draws help and says what is wrong
with an option.

To load that takes a fifth of a second, in which a small machine does ten short runs. Whatever is
not plain is left to it: `read` returns None then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runslot.cli import plain
from runslot.cli.options import options_of
from runslot.cli.plain import Parameter

if TYPE_CHECKING:
    from runslot.cli.build import Words
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
    from runslot.cli.launch import saying
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
    """Let the process that starts runs here, or imports their function before they are handed over,
    get ready while their launch is worked out, where it will be needed.
    """
    if options["dry_run"] or options["detach"] or options["start"] is not None:
        return
    if options.get("on") is not None and (command is not None or not _imports_here(options["on"])):
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


def _imports_here(on: str) -> bool:
    """Tell whether a launcher's functions are imported here first, to see that they can be."""
    from runslot.engines.registry import launcher_named
    from runslot.errors import RunslotError

    try:
        launcher = launcher_named(on)
    except RunslotError:  # said when it is opened
        return False
    return launcher.scripts and not launcher.moves


# ---- a plain command line ------------------------------------------------------------------------


_TARGET = Parameter("target", str)
OPTIONS: Mapping[str, Parameter] = {
    name: Parameter(option.name, option.type, option.several, option.least)
    for option in options_of("run")
    for name in option.names
}
"""By how they are written."""


class _Options(dict[str, Any]):
    """The options that were given; any other is None."""

    def __missing__(self, name: str) -> None:
        return None


_Line = tuple[dict[str, Any], list[str] | None]


def call(arguments: Sequence[str]) -> int | None:
    """Carry out a plain `run`, whose words these are, and return its exit status; None where it is
    not plain.
    """
    line = None if "_RUNSLOT_COMPLETE" in os.environ else read(arguments)
    if line is None:
        return None

    return run_from(*line)


def read(arguments: Sequence[str]) -> _Line | None:
    """Return the options by the names of `run`'s parameters, and the command after `--`."""
    at = arguments.index("--") if "--" in arguments else None
    command = None if at is None else list(arguments[at + 1 :])
    options = plain.read(with_project(arguments[:at]), [_TARGET], OPTIONS)
    return None if options is None else (_Options(options), command)


def with_project(words: Sequence[str]) -> list[str]:
    """Return the words before `--` with the project that a bare `--uv` is for: the directory behind
    it, or this one.

    No target is a directory, so that `--uv ../project` cannot be meant otherwise.
    """
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        result.append(word)
        if word == "--uv":
            following = next(rest, None)
            is_project = (
                following is not None and not following.startswith("-") and os.path.isdir(following)  # noqa: PTH112
            )
            result[-1] = f"--uv={following if is_project else os.curdir}"
            if following is not None and not is_project:
                result += with_project([following, *rest])
    return result
