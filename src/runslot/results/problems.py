"""What could not be read: named, and skipped, so that one broken file does not hide a thousand good ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One file or directory that could not be read, or not wholly."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"
