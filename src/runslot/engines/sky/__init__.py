"""Rented machines, and any other place that SkyPilot knows: `kind = "sky"`, with `ec2` and `gcp` as
shorthands.

What is asked of SkyPilot is in `driver`, a process of its own; what a machine does is in
`runslot.remote.sky`.
"""

from __future__ import annotations

from runslot.engines.sky.config import EC2, GCP, Sky

__all__ = ["EC2", "GCP", "Sky"]
