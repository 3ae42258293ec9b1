"""From what the user asks to records: the experiment's file and its runs, checked before anything is touched."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput
from runslot.experiment.records import Command, ExperimentFile, Function, LoggerSettings, Policy, Run
from runslot.experiment.rundir import RunDir
from runslot.hardware.resources import Resources
from runslot.launch.command import check_command, fill
from runslot.launch.opened import command_values
from runslot.launch.travel import by_value, digest_of_file, import_path, refer
from runslot.variants import Space, Variant, grid, is_plain, run_id, single, to_jsonable, variants_of
from runslot.variants.config import flatten
from runslot.variants.identity import SEED_KEY, run_ids

Work = str | Sequence[str] | Callable[..., Any]
"""A function, `"file.py:function"`, or a command as a list of arguments."""

_NAME = re.compile(r"[^/\0]+(/[^/\0]+)*")


@dataclass(frozen=True)
class Plan:
    """All that an experiment's files will say, and the bytes of what travels by value."""

    file: ExperimentFile
    runs: tuple[Run, ...]
    pickles: Mapping[str, bytes] = field(default_factory=dict)
    """By path relative to the experiment directory."""
    code: Path = field(default_factory=Path.cwd)
    """Directory of the script or function, whose commit is recorded."""
    script: str = ""


def make_plan(
    name: str,
    work: Work,
    variants: Iterable[Variant] | Mapping[str, Any] | None,
    seeds: int | Sequence[int],
    resources: Resources,
    policy: Policy,
    logger: LoggerSettings,
    in_image: bool = False,
) -> Plan:
    """Check what was asked and return the plan; `InvalidInput` says what to change.

    With `in_image` a command is a program of a container's image, not of this machine.
    """
    check_name(name)
    space = as_space(variants)
    listed = variants_of(space)
    seed_list = seeds_of(seeds)
    pickles: dict[str, bytes] = {}
    work_json, script = _work(work, pickles)
    runs = list(_runs(listed, seed_list, pickles))
    refuse_shared_directories(runs)
    file = ExperimentFile(
        name=name,
        work=work_json,
        created=time.time(),
        cwd=str(Path.cwd()),
        python=sys.executable,
        python_version=f"{sys.version_info[0]}.{sys.version_info[1]}",
        path=path_for(work),
        python_path=os.environ.get("PYTHONPATH"),
        resources=asdict(resources),
        policy=policy.to_json(),
        logger=logger.to_json(),
        space=describe_space(space, listed, seed_list),
        script=str(script or "") if "command" in work_json else "",
        script_digest=digest_of_file(str(script)) if script and "command" in work_json else "",
    )
    if "command" in work_json:
        check_runs_of_command(work_json["command"]["argv"], runs, None if in_image else Path.cwd())
    return Plan(file, tuple(runs), pickles, script.parent if script else Path.cwd(), str(script or ""))


def check_name(name: str) -> None:
    """Refuse names that are no directory below the root."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise InvalidInput(
            f"{name!r} cannot be an experiment's name: it is a directory below the root, such as 'digits'"
        )


def as_space(variants: Iterable[Variant] | Mapping[str, Any] | None) -> Iterable[Variant]:
    """Return the space that was meant: none is one variant of defaults, a plain dict is a grid."""
    if variants is None:
        return single()
    if isinstance(variants, Variant):
        return [variants]
    if isinstance(variants, Mapping):
        return grid(variants)
    if isinstance(variants, Space):
        return variants
    listed = list(variants)
    for number, variant in enumerate(listed, 1):
        if not isinstance(variant, Mapping):
            raise InvalidInput(f"variant {number} is a {type(variant).__name__}, not a dict")
    return [each if isinstance(each, Variant) else Variant(each) for each in listed]


def seeds_of(seeds: int | Sequence[int]) -> list[int]:
    """Return the seeds: a number N means 0 … N-1."""
    if isinstance(seeds, (bool, str)) or not isinstance(seeds, (int, Sequence)):
        raise InvalidInput(f"seeds must be a number of seeds or a list of them, not {seeds!r}")
    listed = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    for seed in listed:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidInput(f"seeds must be whole numbers, not {seed!r}")
    if not listed:
        raise InvalidInput(f"seeds is {seeds!r}: with no seed there is no run; the least is 1")
    if len(set(listed)) < len(listed):
        raise InvalidInput(f"seeds has a seed twice: {listed}")
    return listed


def describe_space(space: Iterable[Variant], variants: Sequence[Variant], seeds: Sequence[int]) -> str:
    """Return the space in words: `lr ×3, hidden ×2, seeds ×3`."""
    factors = list(space.factors()) if isinstance(space, Space) else [f"listed ×{len(variants)}"]
    if not any(SEED_KEY in variant for variant in variants):
        factors.append(f"seeds ×{len(seeds)}")
    return ", ".join(factors)


def path_for(work: Work) -> tuple[str, ...]:
    """Return the import path of the runs: the caller's, as `python file.py` or `python -m` would have it in front."""
    path = import_path()
    if not isinstance(work, str):
        return path
    where = work.rpartition(":")[0]
    first = str(Path(where).absolute().parent) if where.endswith(".py") else str(Path.cwd())
    return (first, *(entry for entry in path if entry != first))


def refuse_shared_directories(runs: Iterable[Run]) -> None:
    """Refuse two runs of one directory, also where a file system ignores case."""
    seen: dict[str, Run] = {}
    for run in runs:
        other = seen.setdefault(run.directory.casefold(), run)
        if other is not run:
            raise InvalidInput(
                f"two runs would share the directory {run.directory!r}: {dict(other.variant)} and {dict(run.variant)}; "
                "give the variants different names"
            )


def check_runs_of_command(argv: Sequence[str], runs: Sequence[Run], cwd: Path | None) -> None:
    """Refuse a command that some run could not be given; `cwd` is where it will run, if on this machine."""
    keys: dict[str, None] = {}
    for run in runs:
        keys |= dict.fromkeys(flatten(run.variant))
    check_command(argv, keys, cwd)
    for run in {id(run.variant): run for run in runs}.values():  # one of the seeds of each variant speaks for all
        values = command_values(run, RunDir(run.directory))
        try:
            fill(argv, values)
        except KeyError as missing:
            raise InvalidInput(
                f"the command uses {{{missing.args[0]}}}, which the variant {run.name!r} has not"
            ) from None


def _work(work: Work, pickles: dict[str, bytes]) -> tuple[dict[str, Any], Path | None]:
    if not isinstance(work, str) and not callable(work):
        argv = [os.fspath(part) if isinstance(part, os.PathLike) else str(part) for part in work]
        return {"command": Command(tuple(argv)).to_json()}, _script_of(argv)
    function, data = refer(work)
    if data is not None and function.pickle is not None:
        pickles[function.pickle] = data
    return {"function": function.to_json()}, _file_of(function, work)


def _script_of(argv: Sequence[str]) -> Path | None:
    scripts = [Path(part).absolute() for part in argv if part.endswith((".py", ".sh")) and Path(part).is_file()]
    return scripts[0] if scripts else None


def _file_of(function: Function, work: str | Callable[..., Any]) -> Path | None:
    if function.file is not None:
        return Path(function.file)
    code = getattr(work, "__code__", None)
    file = None if code is None else Path(code.co_filename)
    return file if file is not None and file.is_file() else None


def _runs(variants: Sequence[Variant], seeds: Sequence[int], pickles: dict[str, bytes]) -> Iterable[Run]:
    # The first seed of every variant before the second of any: a picture of all variants comes early.
    made = [_as_run(variant, pickles) for variant in variants]
    ids = [run_ids(run.variant) for run in made]
    for number, seed in enumerate(seeds):
        for variant, run, id_of in zip(variants, made, ids, strict=True):
            if SEED_KEY in variant:
                if number == 0:
                    yield _seeded(run, _seed_in(variant), id_of)
            else:
                yield _seeded(run, seed, id_of)


def _seeded(run: Run, seed: int, id_of: Callable[[int], str]) -> Run:
    """Return the run of this seed: natively the run ID is the seed."""
    directory = f"{run.name}/run_{seed}" if run.name else f"run_{seed}"
    return replace(run, id=id_of(seed), directory=directory, seed=seed, run_ID=seed, extras={SEED_KEY: seed})


def _seed_in(variant: Variant) -> int:
    seed = variant[SEED_KEY]
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InvalidInput(f"the key 'seed' of variant {variant.name!r} is {seed!r}: seeds are whole numbers")
    return seed


def _as_run(variant: Variant, pickles: dict[str, bytes]) -> Run:
    settings = {key: value for key, value in variant.items() if key != SEED_KEY}
    return Run("", variant.name, to_jsonable(settings), "", payload=payload_of(settings, variant.name, pickles))


def payload_of(settings: Mapping[str, Any], name: str, pickles: dict[str, bytes]) -> str | None:
    """Return where the variant travels by value, adding its bytes; None where JSON can hold it."""
    if is_plain(settings):
        return None
    path = f"payloads/{run_id(settings)}.pkl"
    if path not in pickles:
        pickles[path] = by_value(settings, f"variant {name!r}")
    return path
