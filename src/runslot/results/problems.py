"""What could not be read, and what was left unread: named, so that one bad file does not hide a
thousand good ones."""

from __future__ import annotations

from dataclasses import dataclass

from runslot.record import record


@dataclass(frozen=True)
class Problem:
    """One file or directory that could not be read, or not wholly."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@record
class Unread:
    """Files, or rows of one, that may hold numbers and are not among the results, and why."""

    path: str
    """The file; the first of several in one directory."""
    reason: str
    count: int = 1
    """Files in the directory that are left for the same reason."""

    def __str__(self) -> str:
        more = f" and {self.count - 1} more there" if self.count > 1 else ""
        return f"{self.path}{more}: {self.reason}"
