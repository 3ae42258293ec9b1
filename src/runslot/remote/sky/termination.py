"""The end of a rented machine: when it comes, whether the cloud announced it, and that the machine
is deleted then.

What a metadata service tells the machine about itself is read here: EC2 wants a token first
(IMDSv2), Compute Engine a header. A machine that switches itself off is deleted with its disk, and
not only stopped, where it has the right to that. On EC2 its task says so to the cloud first of all
(`python -m runslot.remote.sky.termination`): a shutdown terminates it from then on. On Compute
Engine it deletes itself, once it has sent everything at its deadline. EC2's rebalance
recommendation is not looked for: it may come hours before, or for nothing.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping

from runslot.remote.sky.threads import say

_CLOUD_TIMEOUT_S = 30.0
_STAYS = "it will only be stopped at its deadline, and its disk costs until `runslot cloud down`"


def terminate_at_shutdown() -> bool:
    """Have EC2 terminate this machine when it shuts down; False where that could not be had, which
    is said.
    """
    try:
        config = importlib.import_module(
            "botocore.config"
        )  # of the push's environment, or SkyPilot's
        session = importlib.import_module("botocore.session")
    except ImportError:
        say(
            "no botocore was found to have this machine deleted when it switches itself off:"
            f" {_STAYS}"
        )
        return False
    try:
        patience = config.Config(
            connect_timeout=10, read_timeout=_CLOUD_TIMEOUT_S, retries={"max_attempts": 3}
        )
        region = ec2("meta-data/placement/region")
        client = session.get_session().create_client("ec2", region_name=region, config=patience)
        instance = ec2("meta-data/instance-id")
        client.modify_instance_attribute(
            InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior", Value="terminate"
        )
    except Exception as error:  # noqa: BLE001  no right, no credentials, no answer: the task goes on
        say(f"EC2 refuses to delete this machine when it switches itself off ({error}): {_STAYS}")
        return False
    say("this machine is deleted when it switches itself off")
    return True


def delete_itself() -> bool:
    """Have Compute Engine delete this machine now; False where that could not be had, which is
    said.
    """
    api = os.environ.get(
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "https://compute.googleapis.com/compute/v1/"
    )
    try:
        project = gcp("project/project-id")
        zone = gcp("instance/zone").rpartition("/")[2]
        name = gcp("instance/name")
        token = json.loads(gcp("instance/service-accounts/default/token"))["access_token"]
        url = f"{api.rstrip('/')}/projects/{project}/zones/{zone}/instances/{name}"
        request = urllib.request.Request(  # noqa: S310
            url, headers={"Authorization": f"Bearer {token}"}, method="DELETE"
        )
        urllib.request.urlopen(request, timeout=_CLOUD_TIMEOUT_S).close()  # noqa: S310
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        say(f"Compute Engine refuses to delete this machine ({_said(error)}): {_STAYS}")
        return False
    say("this machine is deleted")
    return True


def _said(error: Exception) -> str:
    """Return an error with what the API says of it."""
    if not isinstance(error, urllib.error.HTTPError):
        return str(error)
    try:
        return f"{error}: {json.loads(error.read())['error']['message']}"
    except (OSError, ValueError, KeyError, TypeError):
        return str(error)


if __name__ == "__main__":
    terminate_at_shutdown()


_METADATA_TIMEOUT_S = 2.0
"""Seconds for an answer that comes from the machine's own host."""


def ec2(page: str) -> str:
    """Return a page below `/latest/` of EC2's service."""
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    token = _ask(f"{base}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    return _ask(f"{base}/latest/{page}", {"X-aws-ec2-metadata-token": token})


def gcp(page: str) -> str:
    """Return a page below `/computeMetadata/v1/` of Compute Engine's service."""
    host = os.environ.get("GCE_METADATA_HOST", "google.internal")
    return _ask(f"http://{host}/computeMetadata/v1/{page}", {"Metadata-Flavor": "Google"})


def _ask(url: str, headers: Mapping[str, str], method: str = "GET") -> str:
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=_METADATA_TIMEOUT_S) as answer:  # noqa: S310
        return str(answer.read().decode()).strip()


LOOK = 5.0
"""Seconds between looks, as EC2's documentation advises."""


def spot_notice(cloud: str) -> bool:
    """Ask the metadata service of `aws` or `gcp`; where there is none, nothing was announced."""
    try:
        if cloud == "aws":
            return bool(
                ec2("meta-data/spot/instance-action")
            )  # no such page until there is a notice
        if cloud == "gcp":
            return gcp("instance/preempted") == "TRUE"
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return False
