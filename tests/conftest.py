"""Every test has its own root for experiments and its own locks, so that tests do not wait for each
other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# On a busy machine an example may take any time: nothing here is judged by a clock. Nor by chance:
# a property has the same examples every time.
# environments that are made for one thing have no hypothesis
with contextlib.suppress(ImportError):
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "unhurried",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
    )
    settings.load_profile("unhurried")
# A shell's background job, as CI may be, ignores Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    locks = tmp_path / ".locks"
    locks.mkdir(exist_ok=True)
    monkeypatch.setenv("RUNSLOT_ROOT", str(tmp_path / "runs"))
    monkeypatch.setenv("RUNSLOT_LOCKS", str(locks))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    for name in ("RUNSLOT_RUN", "VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    # A worker ends deaf to these, and so would all that later tests start in this process.
    for number, handler in handlers.items():
        signal.signal(number, handler)
    # What a run waits to seed, or to adopt, when it is first imported ends with its process: here
    # with its test.
    for finder in [
        each for each in sys.meta_path if type(each).__module__ == "runslot.first_import"
    ]:
        sys.meta_path.remove(finder)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runslot as one file, which takes two seconds of CPU to compile."""
    from runslot.transport.zipapp import one_file

    return one_file(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def cached_archive(_apart: None, archive: Path) -> None:
    """Put that file into the user's cache, where it is from the second launch on."""
    place = Path(os.environ["XDG_CACHE_HOME"]) / "runslot"
    place.mkdir(parents=True)
    os.link(archive, place / archive.name)


@pytest.fixture
def until() -> Callable[..., Any]:
    """Wait until something is true, and return it. A look that takes long, as one that starts a
    process, is followed by as long a pause: what is waited for has its share of the cores.
    """

    def wait(look: Callable[[], Any], seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            found = look()
            if found:
                return found
            time.sleep(max(0.05, time.monotonic() - began))
        raise AssertionError(f"not within {seconds} s")

    return wait


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the tests that need root as skipped where they cannot run."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root") is not None:
                item.add_marker(pytest.mark.skip(reason="needs root"))
