"""Hydra's own suites for launchers, against ours."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("hydra.test_utils.launcher_common_tests", reason="needs hydra-core")

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

pytestmark = [
    pytest.mark.adopters,
    pytest.mark.filterwarnings("ignore"),  # of the next Hydra, where jobs start in forks of this
]

Plugins.instance()
"""Before the first test: what plugins register once, the suites put back after each."""


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own: jobs write `a_module.log` where the tests are run."""
    monkeypatch.chdir(tmp_path)


def test_hydra_finds_the_launcher() -> None:
    plugins = Plugins.instance().discover(Launcher)
    assert "RunslotLauncher" in [plugin.__name__ for plugin in plugins]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("runslot", [])])
class TestLauncher(LauncherTestSuite):
    """A multirun in this process."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("runslot", ["hydra/sweeper=basic", "hydra.sweeper.max_batch_size=2"])],
)
class TestBatches(BatchedSweeperTestSuite):
    """A multirun whose sweeper launches several times."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=runslot"])]
)
class TestIntegration(IntegrationTestSuite):
    """Applications as commands."""
