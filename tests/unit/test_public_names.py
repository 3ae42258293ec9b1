"""The public names are an API: each is there, loads lazily, and `import runslot` costs the standard library alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import runslot

NAMES = {
    "AffinityError",
    "Busy",
    "CurrentRun",
    "DeterministicHyperparameterSweeper",
    "DoesNotFit",
    "EnumParam",
    "Experiment",
    "FixedParam",
    "InvalidInput",
    "LinearFloatParam",
    "LinearIntParam",
    "LogFloatParam",
    "LogIntParam",
    "NotFound",
    "NotInstalled",
    "Container",
    "Outcome",
    "Outcomes",
    "RandomHyperparameterSweeper",
    "Resources",
    "Run",
    "RunslotError",
    "Slot",
    "Space",
    "Topology",
    "Variant",
    "VariantLevel",
    "_cross_variants",
    "affinity_from_code",
    "carve",
    "choice",
    "current_run",
    "encode_affinity",
    "get_log_dir",
    "grid",
    "integers",
    "launch_experiment",
    "levels",
    "listed",
    "load_variant",
    "logger_context",
    "loguniform",
    "make_affinity",
    "make_variants",
    "quick_affinity_code",
    "read_topology",
    "run_experiment",
    "run_experiment_here",
    "run_experiments",
    "run_id",
    "sample",
    "single",
    "save_variant",
    "setup_logger",
    "uniform",
    "union",
    "update_config",
    "variants_of",
    "zipped",
    "logger",
    "rlpyt",
    "launchkit",
    "results",
}


def test_every_public_name_is_there_and_no_other() -> None:
    assert sorted(runslot.__all__) == sorted(NAMES)
    for name in NAMES:
        assert getattr(runslot, name) is not None
    assert set(dir(runslot)) >= NAMES


def test_what_type_checkers_see_is_what_is_there() -> None:
    tree = ast.parse(Path(runslot.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == NAMES


def test_logger_is_the_module_so_that_functions_that_use_it_travel() -> None:
    from runslot import logger

    assert logger is sys.modules["runslot.logger"]


def test_import_runslot_and_what_runs_beside_training_load_no_third_party_module() -> None:
    code = (
        "import sys; before = set(sys.modules); import runslot, runslot.logger, runslot.execute.template,"
        " runslot.launch.experiment; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names) - {'runslot'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(runslot, "no_such_name")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("site", r"pip install 'runslot\[view\] @ git\+https://\S+'"),
        ("checkout/src", r"pip install -e '\S+/checkout\[view\]'"),
    ],
)
def test_optional_parts_are_installed_from_where_runslot_comes_from(tmp_path: Path, where: str, said: str) -> None:
    package = tmp_path / where / "runslot"
    package.mkdir(parents=True)
    for name in ("__init__.py", "errors.py"):
        (package / name).write_bytes((Path(runslot.__file__).parent / name).read_bytes())
    if where != "site":
        (tmp_path / "checkout" / "pyproject.toml").touch()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from runslot.errors import extra_said; print(extra_said('view'))"
    )
    done = subprocess.run([sys.executable, "-c", code, package.parent], capture_output=True, text=True, check=True)
    assert re.fullmatch(said, done.stdout.strip())
