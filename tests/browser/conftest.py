"""A real Chromium, a real experiment, and the page that shows it.

Chromium and its driver are Debian's (`apt-get install chromium chromium-driver`). With
`RUNSLOT_SCREENSHOTS=DIR` the pictures of each main view are kept there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = "chromium", "chromedriver"
TRAIN = '''
"""A function that learns nothing, quickly, and prints what a page must not take for HTML."""

from runslot import logger


def train(variant):
    print("<script>window.pwned = 'console'</script>")
    for epoch in range(30):
        gain = 1 - (1 - min(0.9, 3 * variant["lr"])) ** epoch
        logger.record_dict({"epoch": epoch, "accuracy": gain * variant["hidden"] / 128 + variant["seed"] / 50,
                            "loss": 1 / (1 + epoch)})
        logger.dump_tabular()
    logger.save_itr_params(29, {"weights": [variant["lr"]]})
'''


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives a real Chromium")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start one headless browser for all tests."""
    for package in ("dash", "dash_ag_grid", "dash_mantine_components", "selenium"):
        pytest.importorskip(package, reason=f"tests of the page need {package}")
    for program in (CHROMIUM, DRIVER):
        if shutil.which(program) is None:
            pytest.skip(
                f"{program} is not installed; on Debian: apt-get install chromium chromium-driver"
            )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which(CHROMIUM) or ""
    profile = tmp_path_factory.mktemp("profile")
    quiet = ("quic", "gpu", "background-networking", "component-update", "sync", "dev-shm-usage")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # a container's root cannot have Chromium's own sandbox
        "--no-first-run",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        *(f"--disable-{what}" for what in quiet),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(tmp_path_factory.mktemp("downloads"))}
    )
    driver = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))
    driver.set_script_timeout(100)  # a figure that is exported beside other tests takes its time
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run 2 × 2 variants with 2 seeds, with slots, consoles, snapshots and outcomes as they are."""
    place = tmp_path_factory.mktemp("experiment")
    (place / "demo.py").write_text(TRAIN)
    grid = ("--grid", "lr=0.1,0.01", "--grid", "hidden=32,128", "--seeds", "2")
    command = [
        sys.executable,
        "-m",
        "runslot",
        "run",
        f"{place / 'demo.py'}:train",
        *grid,
        "--root",
        str(place / "runs"),
    ]
    locks = place / "locks"
    locks.mkdir()
    environment = {
        **os.environ,
        "RUNSLOT_LOCKS": str(locks),
        "XDG_STATE_HOME": str(place),
        "XDG_CACHE_HOME": str(place),
    }
    done = subprocess.run(
        command,
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "runs"


@pytest.fixture
def copied(experiment: Path, tmp_path: Path) -> Path:
    """Return a copy of the experiment that a test may change."""
    return Path(shutil.copytree(experiment, tmp_path / "copied", symlinks=True))


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """Serve the page of a directory in this process; yields its address, with the token."""
    from runslot.view.web.server import bind

    served = bind([path], port=0)
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        yield served.address
    finally:
        served.server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def address(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the experiment for all tests that change nothing of it: from one port, so that the
    browser keeps what it has fetched and compiled.
    """
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # before the variables of any test
            patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
            address = stack.enter_context(serving(experiment))
        yield address


@pytest.fixture
def serve() -> Callable[[Path], Any]:
    return serving
