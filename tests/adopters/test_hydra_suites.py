"""Hydra's own suites for launchers, against ours."""

from __future__ import annotations

import pytest

pytest.importorskip("hydra.test_utils.launcher_common_tests", reason="needs hydra-core")

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

# Together: their jobs write `a_module.log` into the directory in which the tests are run.
pytestmark = [pytest.mark.adopters, pytest.mark.xdist_group("hydra suites")]

Plugins.instance()
"""Before the first test: what plugins register once, the suites put back after each."""


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
