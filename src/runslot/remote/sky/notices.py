"""Whether the cloud has announced that it takes this machine back: 2 minutes before on EC2, 30 s on Compute Engine.

EC2's rebalance recommendation is not looked for: it may come hours before, or for nothing, and what a machine has not
sent by the notice it can send then.
"""

from __future__ import annotations

import http.client

from runslot.remote.sky import metadata

LOOK = 5.0
"""Seconds between looks, as EC2's documentation advises."""


def spot_notice(cloud: str) -> bool:
    """Ask the metadata service of `aws` or `gcp`; where there is none, nothing was announced."""
    try:
        if cloud == "aws":
            return bool(metadata.ec2("meta-data/spot/instance-action"))  # no such page until there is a notice
        if cloud == "gcp":
            return metadata.gcp("instance/preempted") == "TRUE"
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return False
