"""HTML attributes whose names are no Python names: `data_kind` for `data-kind`, `aria_label` for
`aria-label`."""

from __future__ import annotations

from typing import Any


def attributes(**named: str | bool) -> dict[str, Any]:
    """Return the attributes under HTML's names; True and False as the words."""
    return {
        name.replace("_", "-"): str(v).lower() if isinstance(v, bool) else v
        for name, v in named.items()
    }
