"""The small language of conditions on runs: SQL's words, read into a polars expression. Pure."""

from runslot.results.where.grammar import MOST_CHARACTERS, condition

__all__ = ["MOST_CHARACTERS", "condition"]
