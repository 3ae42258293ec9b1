"""The public names are an API: each is there, loads lazily, and `import runslot` costs the standard
library alone.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import runslot

REPOSITORY = Path(__file__).resolve().parents[2]

NAMES = {
    *("Experiment", "Outcomes", "Outcome", "Run", "Container", "CurrentRun", "current_run"),
    *("SSH", "Search", "Slurm", "PBS", "Sky", "EC2", "GCP"),
    *("Resources", "Slot", "Topology", "carve", "read_topology"),
    *(
        "Space",
        "Variant",
        "grid",
        "zipped",
        "union",
        "sample",
        "levels",
        "listed",
        "single",
        "variants_of",
        "run_id",
    ),
    *("choice", "integers", "logintegers", "loguniform", "uniform"),
    *(
        "RunslotError",
        "InvalidInput",
        "DoesNotFit",
        "AffinityError",
        "NotFound",
        "NotInstalled",
        "Busy",
    ),
    *("Damaged", "NewerFormat", "RefusedBySystem"),
    *("logger", "results", "rlpyt", "launchkit"),
}
OF_RLPYT = {
    *(
        "VariantLevel",
        "make_variants",
        "_cross_variants",
        "update_config",
        "load_variant",
        "save_variant",
    ),
    *("encode_affinity", "quick_affinity_code", "make_affinity", "affinity_from_code"),
    *("run_experiments", "launch_experiment", "get_log_dir", "logger_context"),
}
OF_LAUNCHKIT = {
    *("run_experiment", "run_experiment_here", "setup_logger"),
    *(
        "DeterministicHyperparameterSweeper",
        "RandomHyperparameterSweeper",
        "DeterministicSweeperCombiner",
        "Sweeper",
    ),
    *(
        "EnumParam",
        "FixedParam",
        "LinearFloatParam",
        "LinearIntParam",
        "LogFloatParam",
        "LogIntParam",
    ),
    *("Hyperparameter", "RandomHyperparameter"),
    *(
        "GitInfo",
        "create_exp_name",
        "create_log_dir",
        "dict_to_safe_json",
        "get_git_infos",
        "query_yes_no",
    ),
    *(
        "recursive_dictionary_update",
        "recursive_items",
        "reset_execution_environment",
        "save_experiment_data",
    ),
    "set_seed",
}


def test_every_public_name_is_there_and_no_other() -> None:
    assert sorted(runslot.__all__) == sorted(NAMES)
    for name in NAMES:
        assert getattr(runslot, name) is not None
    assert set(dir(runslot)) >= NAMES


@pytest.mark.parametrize(("ancestor", "names"), [("rlpyt", OF_RLPYT), ("launchkit", OF_LAUNCHKIT)])
def test_an_ancestors_names_can_be_imported_from_the_top_and_from_its_door(
    ancestor: str, names: set[str]
) -> None:
    door = importlib.import_module(f"runslot.{ancestor}")
    for name in names:
        assert getattr(runslot, name) is getattr(door, name)
    assert {name for name in names if not name.startswith("_")} <= set(door.__all__)
    assert not names & set(runslot.__all__)


def test_every_public_name_says_what_it_is() -> None:
    for name in NAMES | OF_RLPYT | OF_LAUNCHKIT:
        assert (inspect.getdoc(getattr(runslot, name)) or "").strip(), name


def test_what_type_checkers_see_is_what_is_there() -> None:
    tree = ast.parse(Path(runslot.__file__).read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {
        alias.asname for node in imports for alias in node.names
    } == NAMES | OF_RLPYT | OF_LAUNCHKIT


def test_logger_is_the_module_so_that_functions_that_use_it_travel() -> None:
    from runslot import logger

    assert logger is sys.modules["runslot.logger"]


def test_import_runslot_and_what_runs_beside_training_load_no_third_party_module() -> None:
    code = (
        "import sys; before = set(sys.modules); import runslot, runslot.logger,"
        " runslot.execute.template, runslot.launch.experiment; new = {name.partition('.')[0] for"
        " name in set(sys.modules) - before};print(sorted(new - set(sys.stdlib_module_names) -"
        " {'runslot'}))"
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
def test_optional_parts_are_installed_from_where_runslot_comes_from(
    tmp_path: Path, where: str, said: str
) -> None:
    package = tmp_path / where / "runslot"
    package.mkdir(parents=True)
    for name in ("__init__.py", "errors.py"):
        (package / name).write_bytes((Path(runslot.__file__).parent / name).read_bytes())
    if where != "site":
        (tmp_path / "checkout" / "pyproject.toml").touch()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from runslot.errors import extra_said;"
        " print(extra_said('view'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, package.parent], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(said, done.stdout.strip())


def test_the_version_stands_in_one_place_and_what_quotes_it_agrees() -> None:
    """A tag needs nothing further: the changelog has a dated heading, and the citation its date."""
    version = runslot.__version__
    changes = (REPOSITORY / "CHANGELOG.md").read_text()
    heading = re.search(r"(?m)^## (?!Unreleased)(.*)$", changes)
    citation = (REPOSITORY / "CITATION.cff").read_text()
    dated = re.search(r"(?m)^date-released: (\d{4}-\d\d-\d\d)$", citation)

    assert dated is not None
    assert heading is not None
    assert heading[1] == f"{version} - {dated[1]}"
    assert f"\nversion: {version}\n" in citation
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    built = (REPOSITORY / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in built
    assert '[tool.hatch.version]\npath = "src/runslot/__init__.py"' in built


def test_every_field_of_a_public_record_says_what_it_is() -> None:
    """The API reference shows no field that does not; a record inherits those of its bases."""
    silent = []
    for name in runslot.__all__:
        record = getattr(runslot, name)
        if not (isinstance(record, type) and dataclasses.is_dataclass(record)):
            continue
        documented: dict[str, bool] = {}
        for base in reversed(record.__mro__):
            if base.__module__.startswith("runslot."):
                documented |= _documented_fields(base)
        silent += [
            f"{name}.{field.name}"
            for field in dataclasses.fields(record)
            if not field.name.startswith("_") and not documented.get(field.name)
        ]
    assert silent == []


def _documented_fields(record: type) -> dict[str, bool]:
    """By field that the class itself names, whether a docstring follows it."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(node, ast.ClassDef)
    return {
        field.target.id: isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        for field, text in itertools.zip_longest(node.body, node.body[1:])
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
