"""From what the user asks to records: the experiment's file and its runs, checked before anything
is touched.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput
from runslot.experiment.placeholders import with_seeds
from runslot.experiment.records import (
    Command,
    ExperimentFile,
    Function,
    LoggerSettings,
    Policy,
    Run,
    Work,
)
from runslot.hardware.resources import Resources
from runslot.launch.command import check_runs_of_command, notes_on_command
from runslot.launch.function import (
    by_value,
    digest_of_file,
    import_path,
    mistakable,
    refer,
    takes_items,
)
from runslot.launch.interpreter import Interpreter
from runslot.record import record
from runslot.terminal_text import one_line
from runslot.variants import (
    Space,
    Variant,
    grid,
    is_plain,
    run_id,
    single,
    to_jsonable,
    variants_of,
)
from runslot.variants.encode import SEED_KEY, is_array, run_ids
from runslot.variants.parse import SEED_LIMIT
from runslot.variants.space import VARIANTS_LIMIT
from runslot.variants.variant import flatten

Target = str | Sequence[str] | Callable[..., Any]
"""A function, `"file.py:function"`, or a command as a list of arguments."""

_NAME = r"[^/\0]+(/[^/\0]+)*"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""This Python, as `3.12`."""
_VISIBILITY = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_NAME_LIMIT, _PATH_LIMIT = 255, 2000
"""Bytes of a part of a name, and characters of all of it; its runs' directories come behind."""


@record
class Plan:
    """All that an experiment's files will say, and the bytes of what travels by value."""

    file: ExperimentFile
    runs: tuple[Run, ...]
    pickles: Mapping[str, bytes] = field(default_factory=dict)
    """By path relative to the experiment directory."""
    code: Path = field(default_factory=Path.cwd)
    """Directory of the script or function, whose commit is recorded."""
    script: str = ""
    notes: tuple[str, ...] = ()
    """What should be said before anything starts."""
    events: tuple[Mapping[str, Any], ...] = ()
    """What the journal begins with: of a search, the trials that these runs are of."""
    most_runs: int = 0
    """How many runs there may be in the end, where they are more than these."""


def make_plan(
    name: str,
    target: Target,
    variants: Iterable[Variant | Mapping[str, Any]] | Mapping[str, Any] | None,
    seeds: int | Sequence[int],
    resources: Resources,
    policy: Policy,
    logger: LoggerSettings,
    elsewhere: bool = False,
    interpreter: Interpreter | None = None,
) -> Plan:
    """Check what was asked and return the plan; `InvalidInput` says what to change.

    With `elsewhere` a command is a program of an image or another machine, not of this one;
    `interpreter` is the runs' Python where it is not this one.
    """
    check_name(name)
    space = as_space(variants)
    variant_list = variants_of(space)
    seed_list = seeds_of(seeds)
    pickles: dict[str, bytes] = {}
    work, script = _work(target, pickles)
    runs = list(_runs(variant_list, seed_list, pickles))
    refuse_shared_directories(runs)
    notes: tuple[str, ...] = ()
    if isinstance(work, Command):
        several_seeds = len(seed_list) > 1 or seeds != 1
        work, notes = _as_command(work, runs, several_seeds, elsewhere, interpreter)
    else:
        if interpreter is not None:
            interpreter.refuse_function(by_value=bool(pickles))
        work, notes = _as_called(work, target, runs)
    file = ExperimentFile(
        name=name,
        work=work,
        created=time.time(),
        cwd=str(Path.cwd()),
        python=sys.executable if interpreter is None else interpreter.executable,
        python_version=_MINOR if interpreter is None else interpreter.minor,
        path=path_for(target, None if interpreter is None else interpreter.path),
        python_path=os.environ.get("PYTHONPATH"),
        resources=resources,
        policy=policy,
        logger=logger,
        space=describe_space(space, variant_list, seed_list),
        script=str(script or "") if isinstance(work, Command) else "",
        script_digest=digest_of_file(str(script)) if script and isinstance(work, Command) else "",
        interpreter=None if interpreter is None else interpreter.environment,
    )
    if interpreter is not None:
        notes = (interpreter.note(), *notes)
    return Plan(
        file,
        tuple(runs),
        pickles,
        script.parent if script else Path.cwd(),
        str(script or ""),
        notes,
    )


def check_name(name: str) -> None:
    """Refuse names that are no directory below the root."""
    if (
        not isinstance(name, str)
        or not re.fullmatch(_NAME, name)
        or {".", ".."} & set(name.split("/"))
    ):
        raise InvalidInput(
            f"{name!r:.80} cannot be an experiment's name: it is a directory below the root, such"
            " as 'digits'"
        )
    if name != one_line(name):
        raise InvalidInput(f"{name!r} cannot be an experiment's name: it has control characters")
    if (
        max(len(os.fsencode(part)) for part in name.split("/")) > _NAME_LIMIT
        or len(name) > _PATH_LIMIT
    ):
        raise InvalidInput(
            f"{name[:40]}… cannot be an experiment's name: it is longer than file systems can hold"
        )


def check_env(env: Mapping[str, str]) -> None:
    """Refuse what can be no variables of an environment, and those that runslot sets for each
    run.
    """
    if not isinstance(env, Mapping):
        raise InvalidInput(
            f"env must be a dict of variables, such as {{'WANDB_MODE': 'offline'}}, not {env!r:.80}"
        )
    for name, value in env.items():
        if not isinstance(name, str) or not re.fullmatch(_VARIABLE, name):
            raise InvalidInput(f"env: {name!r:.80} cannot be the name of a variable")
        if name.startswith("RUNSLOT_") or name in _VISIBILITY:
            raise InvalidInput(f"env: {name} is set by runslot for every run; leave it out")
        if not isinstance(value, str) or "\0" in value:
            raise InvalidInput(f"env: {name} must be text, not {value!r:.80}")


def with_plain_names(plan: Plan) -> Plan:
    """Return the plan with directories that a shell, make and Hydra read as they stand:
    `lr-0.1/run_0`.

    Where two would be one, the later ones end in -2, -3, ….
    """
    plain: dict[str, str] = {}
    for name in dict.fromkeys(run.name for run in plan.runs):
        if not name:  # only seeds: their directories are plain already
            plain[name] = name
            continue
        parts = [
            re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-") or "-" for part in name.split("/")
        ]
        joined = "/".join(parts)
        used, number = set(map(str.casefold, plain.values())), 1
        while (new := joined if number == 1 else f"{joined}-{number}").casefold() in used:
            number += 1
        plain[name] = new
    runs = (
        replace(run, directory=f"{plain[run.name]}{run.directory[len(run.name) :]}")
        for run in plan.runs
    )
    return replace(plan, runs=tuple(runs))


def as_space(
    variants: Iterable[Variant | Mapping[str, Any]] | Mapping[str, Any] | None,
) -> Iterable[Variant]:
    """Return the space that was meant: none is one variant of defaults, a plain dict is a grid."""
    if variants is None:
        return single()
    if isinstance(variants, Variant):
        return [variants]
    if isinstance(variants, Mapping):
        return grid(variants)
    if isinstance(variants, Space):
        return variants
    iterable: Any = variants
    if isinstance(iterable, (str, bytes)) or not isinstance(iterable, Iterable):
        raise InvalidInput(
            f"variants is {iterable!r:.80}: give a dict, a space such as grid(…), or a list of"
            " dicts"
        )
    items = list(islice(iterable, VARIANTS_LIMIT + 1))
    for number, variant in enumerate(items, 1):
        if not isinstance(variant, Mapping):
            raise InvalidInput(f"variant {number} is a {type(variant).__name__}, not a dict")
    return [
        variant_like if isinstance(variant_like, Variant) else Variant(variant_like)
        for variant_like in items
    ]


def seeds_of(seeds: int | Sequence[int]) -> list[int]:
    """Return the seeds: a number N means 0 … N-1."""
    value: Any = _plain_number(seeds)
    if isinstance(value, (bool, str, bytes)) or not isinstance(value, (int, Sequence)):
        raise InvalidInput(f"seeds must be a number of seeds or a list of them, not {value!r:.80}")
    count = value if isinstance(value, int) else len(value)
    if count > SEED_LIMIT:
        raise InvalidInput(f"seeds asks for {count:,} of them, which is more than {SEED_LIMIT:,}")
    seed_list = list(range(value)) if isinstance(value, int) else [*map(_plain_number, value)]
    for seed in seed_list:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidInput(f"seeds must be whole numbers, not {seed!r:.80}")
    if not seed_list:
        raise InvalidInput(f"seeds is {seeds!r}: with no seed there is no run; the least is 1")
    if len(set(seed_list)) < len(seed_list):
        raise InvalidInput(f"seeds has a seed twice: {seed_list}")
    return seed_list


def _plain_number(value: Any) -> Any:
    return value.tolist() if is_array(value) else value


def describe_space(
    space: Iterable[Variant], variants: Sequence[Variant], seeds: Sequence[int]
) -> str:
    """Return the space in words: `lr ×3, hidden ×2, seeds ×3`."""
    factors = list(space.factors()) if isinstance(space, Space) else [f"listed ×{len(variants)}"]
    if not any(SEED_KEY in variant for variant in variants):
        factors.append(f"seeds ×{len(seeds)}")
    return ", ".join(factors)


def path_for(target: Target, path: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return the import path of the runs: the caller's, as `python file.py` or `python -m` would
    have it in front.

    `path` is that of another interpreter, where the runs have one.
    """
    path = import_path() if path is None else path
    if not isinstance(target, str):
        return path
    where = target.rpartition(":")[0]
    first = str(Path(where).absolute().parent) if where.endswith(".py") else str(Path.cwd())
    return (first, *(entry for entry in path if entry != first))


def refuse_shared_directories(runs: Iterable[Run]) -> None:
    """Refuse two runs of one directory, also where a file system ignores case."""
    run_by_directory: dict[str, Run] = {}
    for run in runs:
        other = run_by_directory.setdefault(run.directory.casefold(), run)
        if other is not run:
            raise InvalidInput(
                f"two runs would share the directory {run.directory!r}: {dict(other.variant)} and"
                f" {dict(run.variant)}; give the variants different names"
            )


def _as_command(
    command: Command,
    runs: Sequence[Run],
    several_seeds: bool,
    elsewhere: bool,
    interpreter: Interpreter | None,
) -> tuple[Command, tuple[str, ...]]:
    """Return the command as it is to be started, checked, and what should be said of it."""
    keys = {key: None for run in runs for key in flatten(run.variant)}
    argv = with_seeds(command.argv, several_seeds, keys)
    if interpreter is not None:
        argv = interpreter.argv(argv)
    search_path = None if interpreter is None else interpreter.search_path
    check_runs_of_command(argv, runs, None if elsewhere else Path.cwd(), search_path)
    return replace(command, argv=tuple(argv)), notes_on_command(argv, runs)


def _as_called(
    function: Function, target: Target, runs: Sequence[Run]
) -> tuple[Function, tuple[str, ...]]:
    """Return the function as it is to be called, and what should be said of that."""
    called: Any = target  # text, or a callable, as `_work` has found
    keys = {tuple(run.variant) for run in runs}
    if takes_items(function, called, keys):
        return replace(function, unpack=True), ()
    note = mistakable(function, called, set.intersection(*map(set, keys)))
    return function, (note,) if note else ()


def _work(target: Target, pickles: dict[str, bytes]) -> tuple[Work, Path | None]:
    if not isinstance(target, str) and not callable(target):
        argv = _argv(target)
        return Command(tuple(argv)), _script_of(argv)
    function, data = refer(target)
    if data is not None and function.pickle is not None:
        pickles[function.pickle] = data
    return function, _file_of(function, target)


def _argv(work: Any) -> list[str]:
    if not isinstance(work, Sequence) or isinstance(work, (bytes, bytearray)):
        raise InvalidInput(
            f"{work!r:.80} is not a function, 'file.py:function', or a command as a list of"
            " arguments"
        )
    for part in work:
        if isinstance(part, bool) or not isinstance(part, (str, int, float, os.PathLike)):
            raise InvalidInput(
                f"the command has {part!r:.80}: its arguments are texts, numbers and paths"
            )
    return [os.fspath(part) if isinstance(part, os.PathLike) else str(part) for part in work]


def _script_of(argv: Sequence[str]) -> Path | None:
    scripts = [
        Path(part).absolute()
        for part in argv
        if part.endswith((".py", ".sh")) and Path(part).is_file()
    ]
    return scripts[0] if scripts else None


def _file_of(function: Function, work: str | Callable[..., Any]) -> Path | None:
    if function.file is not None:
        return Path(function.file)
    code = getattr(work, "__code__", None)
    file = None if code is None else Path(code.co_filename)
    return file if file is not None and file.is_file() else None


def _runs(
    variants: Sequence[Variant], seeds: Sequence[int], pickles: dict[str, bytes]
) -> Iterable[Run]:
    # The first seed of every variant before the second of any: a picture of all variants comes
    # early.
    seedless_runs = [_as_run(variant, pickles) for variant in variants]
    ids = [run_ids(run.variant) for run in seedless_runs]
    for number, seed in enumerate(seeds):
        for variant, run, id_of in zip(variants, seedless_runs, ids, strict=True):
            if SEED_KEY in variant:
                if number == 0:
                    yield _seeded(run, _seed_in(variant), id_of)
            else:
                yield _seeded(run, seed, id_of)


def _seeded(run: Run, seed: int, id_of: Callable[[int], str]) -> Run:
    """Return the run of this seed: natively the run ID is the seed."""
    directory = f"{run.name}/run_{seed}" if run.name else f"run_{seed}"
    return replace(
        run, id=id_of(seed), directory=directory, seed=seed, run_ID=seed, extras={SEED_KEY: seed}
    )


def _seed_in(variant: Variant) -> int:
    seed = variant[SEED_KEY]
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InvalidInput(
            f"the key 'seed' of variant {variant.name!r} is {seed!r}: seeds are whole numbers"
        )
    return seed


def _as_run(variant: Variant, pickles: dict[str, bytes]) -> Run:
    settings = {key: value for key, value in variant.items() if key != SEED_KEY}
    return Run(
        "",
        variant.name,
        to_jsonable(settings),
        "",
        payload=payload_of(settings, variant.name, pickles),
    )


def payload_of(settings: Mapping[str, Any], name: str, pickles: dict[str, bytes]) -> str | None:
    """Return where the variant travels by value, adding its bytes; None where JSON can hold it."""
    if is_plain(settings):
        return None
    path = f"payloads/{run_id(settings)}.pkl"
    if path not in pickles:
        pickles[path] = by_value(settings, f"variant {name!r}")
    return path
