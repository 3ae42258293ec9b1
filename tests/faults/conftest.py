"""What a module sets up for its tests has locks of its own, as each of them has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _apart_from_other_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    place = tmp_path_factory.mktemp("module")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNSLOT_LOCKS", str(place))
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        yield
