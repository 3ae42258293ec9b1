"""What every launcher must do, done by this one: `pytest test_wrap.py`, where it and runslot are
installed.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from runslot.testing import LauncherContract


class TestWrap(LauncherContract):
    """Runs a little nicer than others."""

    entry: ClassVar[Mapping[str, Any]] = {
        "kind": "wrap",
        "command": ["nice", "-n", "1"],
        "at_a_time": 4,
    }
    many = 12
