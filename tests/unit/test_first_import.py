"""The hook at the first import of a module, with modules on the disk and in real processes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runslot.first_import import FirstImport


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on the import path; what was imported from it is forgotten afterwards."""
    before = set(sys.modules)
    directory = tmp_path / "site"
    (directory / "hooked_package").mkdir(parents=True)
    (directory / "hooked_package" / "__init__.py").write_text("value = 1\n")
    (directory / "hooked_package" / "part.py").write_text("value = 2\n")
    (directory / "hooked.py").write_text("value = 3\nseen_while_executing = sorted(globals())\n")
    (directory / "hooked_fails.py").write_text("raise ValueError('theirs')\n")
    with zipfile.ZipFile(directory / "hooked.zip", "w") as archive:
        archive.writestr("hooked_zipped.py", "value = 4\n")
        archive.writestr("hooked_zipped_other.py", "value = 5\n")
    monkeypatch.syspath_prepend(str(directory / "hooked.zip"))
    monkeypatch.syspath_prepend(str(directory))
    yield directory
    for name in set(sys.modules) - before:
        if name.startswith("hooked"):
            del sys.modules[name]


@pytest.mark.parametrize(
    "name", ["hooked", "hooked_package", "hooked_package.part", "hooked_zipped"]
)
def test_a_module_is_handed_over_once_when_it_has_executed(site: Path, name: str) -> None:
    modules: list[ModuleType] = []
    FirstImport({name: modules.append})
    assert modules == []
    module = importlib.import_module(name)
    importlib.import_module(
        "hooked_zipped_other"
    )  # whose loader is the same object as that of hooked_zipped
    importlib.reload(module)
    assert modules == [module]
    assert not any(isinstance(finder, FirstImport) for finder in sys.meta_path)


def test_a_module_that_is_loaded_is_handed_over_at_once(site: Path) -> None:
    modules: list[ModuleType] = []
    module = importlib.import_module("hooked")
    FirstImport({"hooked": modules.append})
    assert modules == [module]


def test_the_module_has_its_own_loader_and_spec(site: Path) -> None:
    FirstImport({"hooked": lambda module: None})
    hooked = importlib.import_module("hooked")
    assert (
        type(hooked.__loader__).__name__
        == type(hooked.__spec__.loader).__name__
        == "SourceFileLoader"
    )
    assert hooked.__spec__.loader.get_source("hooked").startswith("value = 3")
    assert "__loader__" in hooked.seen_while_executing


def test_two_hooks_of_one_module_are_both_called(site: Path) -> None:
    calls: list[str] = []
    FirstImport({"hooked": lambda module: calls.append("first")})
    FirstImport({"hooked": lambda module: calls.append("second")})
    importlib.import_module("hooked")
    assert calls == ["first", "second"]


def test_a_removed_hook_calls_no_more(site: Path) -> None:
    modules: list[ModuleType] = []
    FirstImport({"hooked": modules.append}).remove()
    importlib.import_module("hooked")
    assert modules == []


def test_an_import_that_fails_is_the_users_and_may_be_tried_again(site: Path) -> None:
    modules: list[ModuleType] = []
    FirstImport({"hooked_fails": modules.append})
    with pytest.raises(ValueError, match="theirs"):
        importlib.import_module("hooked_fails")
    assert modules == []
    (site / "hooked_fails.py").write_text(
        "value = 'a longer text, so that no cache is taken for it'\n"
    )
    importlib.invalidate_caches()
    assert [importlib.import_module("hooked_fails")] == modules


def test_a_module_that_is_not_there_is_not_found_as_ever(site: Path) -> None:
    hook = FirstImport({"hooked_absent": lambda module: None})
    with pytest.raises(ModuleNotFoundError, match="hooked_absent"):
        importlib.import_module("hooked_absent")
    hook.remove()


def test_a_forked_worker_imports_for_itself(site: Path) -> None:
    modules: list[ModuleType] = []
    hook = FirstImport({"hooked": modules.append})
    child = os.fork()
    if child == 0:
        importlib.import_module("hooked")
        os._exit(len(modules))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    hook.remove()


SEEDED = """
import random, sys
from runslot.execute.functions import seed_everything
if "before" in sys.argv:
    import numpy.random, torch, tensorflow
seed_everything(7)
import numpy, torch, tensorflow
print(random.random(), numpy.random.rand(), torch.seeds, tensorflow.random.seeds)
"""


def test_what_is_imported_later_is_seeded_with_the_same_numbers_as_what_is_loaded(
    tmp_path: Path,
) -> None:
    (tmp_path / "torch.py").write_text("seeds = []\nmanual_seed = seeds.append\n")
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("from tensorflow import random\n")
    (tmp_path / "tensorflow" / "random.py").write_text("seeds = []\nset_seed = seeds.append\n")
    printed = {_printed(SEEDED, tmp_path, when) for when in ("before", "later")}
    plain = (
        "import random, numpy; random.seed(7); numpy.random.seed(7); print(random.random(),"
        " numpy.random.rand())"
    )
    assert printed == {_printed(plain, tmp_path) + " [7] [7]"}


def test_a_directory_with_the_name_of_a_library_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    code = (
        "from runslot.execute.functions import seed_everything; seed_everything(7); import torch;"
        " print('well')"
    )
    assert _printed(code, tmp_path) == "well"


@pytest.mark.adopters
def test_the_real_torch_is_seeded_where_it_is_imported_later(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    seeding = "from runslot.execute.functions import seed_everything; seed_everything(7); "
    numbers = "print(torch.rand(3).tolist())"
    later = _printed(f"{seeding}import torch; {numbers}", tmp_path)
    assert later == _printed(f"import torch; torch.manual_seed(7); {numbers}", tmp_path)


def _printed(code: str, directory: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{directory}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
