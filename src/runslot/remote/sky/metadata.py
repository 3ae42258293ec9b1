"""What a cloud's metadata service tells a machine about itself: pages over HTTP, on the machine alone.

EC2 wants a token first (IMDSv2), Compute Engine a header. `OSError` where there is no such page, or no such service.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping

_PATIENCE = 2.0
"""Seconds for an answer that comes from the machine's own host."""


def ec2(page: str) -> str:
    """Return a page below `/latest/` of EC2's service."""
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    token = _ask(f"{base}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    return _ask(f"{base}/latest/{page}", {"X-aws-ec2-metadata-token": token})


def gcp(page: str) -> str:
    """Return a page below `/computeMetadata/v1/` of Compute Engine's service."""
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    return _ask(f"http://{host}/computeMetadata/v1/{page}", {"Metadata-Flavor": "Google"})


def _ask(url: str, headers: Mapping[str, str], method: str = "GET") -> str:
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
        return str(answer.read().decode()).strip()
