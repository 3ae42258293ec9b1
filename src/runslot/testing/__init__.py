"""What tests need beside pytest, shipped: the contract of every launcher, the chaos that `runslot
selftest` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runslot.testing.contract import LauncherContract as LauncherContract


def __getattr__(name: str) -> Any:
    if name == "LauncherContract":  # loaded when it is asked for: it needs pytest
        from runslot.testing.contract import LauncherContract

        return LauncherContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
