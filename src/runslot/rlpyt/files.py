"""Where rlpyt's scripts find things: the directory of an experiment, and the variant's file in its
directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from runslot.errors import InvalidInput, NotFound, refusals
from runslot.experiment.files import read_json, write_json
from runslot.experiment.rundir import VARIANT_CONFIG
from runslot.experiment.settings import default_root, path_of
from runslot.variants.variant import dotted, leaves

StrPath = str | os.PathLike[str]


def get_log_dir(
    experiment_name: str,
    root_log_dir: StrPath | None = None,
    date: bool = True,  # noqa: ARG001
) -> str:
    """Return `<root>/local/<yyyymmdd>/<hhmmss>/<experiment_name>`, without making it; `date`
    changes nothing, as there.

    The root is runslot's (`RUNSLOT_ROOT`, the configuration, `runs`) unless given.
    """
    root = default_root() if root_log_dir is None else path_of(root_log_dir, "root_log_dir")
    if experiment_name != "":
        path_of(experiment_name, "experiment_name")
    return str(root / "local" / f"{datetime.now():%Y%m%d/%H%M%S}" / experiment_name)


def load_variant(log_dir: StrPath) -> dict[str, Any]:
    """Return the variant whose directory `log_dir` is; `NotFound` where none was saved there."""
    variant = read_json(path_of(log_dir, "log_dir") / VARIANT_CONFIG)
    if variant is None:
        raise NotFound(f"{log_dir} has no {VARIANT_CONFIG}: it is not the directory of a variant")
    return variant


@refusals()
def save_variant(variant: Mapping[str, Any], log_dir: StrPath) -> None:
    """Write the variant into its directory, which exists; `InvalidInput` names a key that JSON
    cannot hold.
    """
    write_json(path_of(log_dir, "log_dir") / VARIANT_CONFIG, readable(variant))


def readable(variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variant as the script will read it from JSON, or refuse what JSON cannot hold, by
    key.
    """
    if not isinstance(variant, Mapping):
        raise InvalidInput(f"a variant is a dict, not a {type(variant).__name__}: {variant!r:.80}")
    for path, value in leaves(variant):
        try:
            json.dumps([dict.fromkeys(path), value])
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"the variant's {dotted(path)} is {value!r:.80}, which {VARIANT_CONFIG} cannot hold"
                f" ({error}); put its name or number into the variant, and let the script make the"
                " object"
            ) from None
    read: dict[str, Any] = json.loads(json.dumps(variant))
    return read
