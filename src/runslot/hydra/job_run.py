"""A job of Hydra's as a run: its overrides are the variant, its output directory is the run's.

`runslot.hydra.launch` makes a run of every composed configuration, before anything starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from runslot.errors import InvalidInput
from runslot.experiment.records import Run
from runslot.hydra.job import HOME_KEY, JOB_KEY, hydra_config
from runslot.variants import run_id, to_jsonable
from runslot.variants.encode import SEED_KEY


def runs_of(configs: Mapping[int, Any], root: Path, parser: Any) -> tuple[Run, ...]:
    """Return the jobs as runs below the multirun's directory, each in a directory of its own."""
    runs: dict[str, Run] = {}
    for number, config in configs.items():
        run = _as_run(number, config, root, parser)
        other = runs.setdefault(run.directory.casefold(), run)
        if other is not run:
            raise InvalidInput(
                f"jobs #{other.extras[JOB_KEY]} and #{number} would share the directory"
                f" {run.directory!r}: hydra.sweep.subdir needs what differs, as ${{hydra.job.num}}"
            )
    return tuple(runs.values())


def _as_run(number: int, config: Any, root: Path, parser: Any) -> Run:
    with hydra_config(config):
        subdir = str(config.hydra.sweep.subdir)
        texts = list(OmegaConf.to_container(config.hydra.overrides.task))
    place = os.path.relpath(root / subdir, root)
    if place == os.curdir or Path(place).parts[0] == os.pardir:
        raise InvalidInput(
            f"hydra.sweep.subdir is {subdir!r}: every job needs a directory of its own below"
            " hydra.sweep.dir"
        )
    variant, seed = variant_of(texts, parser)
    extras = {JOB_KEY: number, HOME_KEY: os.path.relpath(root, root / place)}
    name = ",".join(text for text in texts if key_of(text) != SEED_KEY) or "defaults"
    return Run(
        run_id({**variant, SEED_KEY: seed, **extras}),
        name.replace("/", "."),
        to_jsonable(variant),
        place,
        seed=seed,
        extras=extras,
    )


def key_of(text: str) -> str:
    """Return the key of an override, as `lr` of `+lr=0.1`."""
    return text.lstrip("+").partition("=")[0]


def variant_of(texts: Sequence[str], parser: Any) -> tuple[dict[str, Any], int | None]:
    """Return what overrides set, by key, and apart from it the seed, where one of them is it."""
    variant: dict[str, Any] = {}
    for override in parser.parse_overrides(list(texts)):
        value = override.value()
        is_plain = isinstance(value, (bool, int, float, str)) or value is None
        text = override.input_line or ""
        key = text if text.startswith("~") else key_of(text)
        variant[key] = value if is_plain else override.get_value_string()
    seed = variant.get(SEED_KEY)
    if isinstance(seed, bool) or not isinstance(seed, int):
        return variant, None
    del variant[SEED_KEY]
    return variant, seed
