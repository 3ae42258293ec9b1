"""This machine keeps the contract of every launcher."""

from __future__ import annotations

from typing import ClassVar

from runslot.testing.contract import LauncherContract


class TestThisMachine(LauncherContract):
    entry: ClassVar = {"kind": "local"}
