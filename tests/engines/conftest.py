"""Which tests share one engine: xdist gives those of a group to one worker, and all others to whoever is free."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group what uses a `testbed` by its file, and containers by their engine: a test may switch it off."""
    for item in items:
        if "testbed" in getattr(item, "fixturenames", ()):
            engine = ["podman"] if "podman" in item.nodeid.lower() else []
            item.add_marker(pytest.mark.xdist_group("-".join([item.path.stem, *engine])))
