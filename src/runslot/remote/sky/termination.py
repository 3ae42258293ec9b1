"""A machine that switches itself off is deleted with its disk, and not only stopped, where it has the right to that.

On EC2 its task says so to the cloud first of all (`python -m runslot.remote.sky.termination`): a shutdown
terminates it from then on. On Compute Engine it deletes itself, once it has sent everything at its deadline.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import urllib.error
import urllib.request

from runslot.remote.sky import metadata
from runslot.remote.sky.watcher import say

_PATIENCE = 30.0
_STAYS = "it will only be stopped at its deadline, and its disk costs until `runslot cloud down`"


def terminate_at_shutdown() -> bool:
    """Have EC2 terminate this machine when it shuts down; False where that could not be had, which is said."""
    try:
        config = importlib.import_module("botocore.config")  # of the push's environment, or SkyPilot's
        session = importlib.import_module("botocore.session")
    except ImportError:
        say(f"no botocore was found to have this machine deleted when it switches itself off: {_STAYS}")
        return False
    try:
        patience = config.Config(connect_timeout=10, read_timeout=_PATIENCE, retries={"max_attempts": 3})
        region = metadata.ec2("meta-data/placement/region")
        client = session.get_session().create_client("ec2", region_name=region, config=patience)
        instance = metadata.ec2("meta-data/instance-id")
        client.modify_instance_attribute(
            InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior", Value="terminate"
        )
    except Exception as error:  # noqa: BLE001  no right, no credentials, no answer: the task goes on
        say(f"EC2 refuses to delete this machine when it switches itself off ({error}): {_STAYS}")
        return False
    say("this machine is deleted when it switches itself off")
    return True


def delete_itself() -> bool:
    """Have Compute Engine delete this machine now; False where that could not be had, which is said."""
    api = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "https://compute.googleapis.com/compute/v1/")
    try:
        project = metadata.gcp("project/project-id")
        zone = metadata.gcp("instance/zone").rpartition("/")[2]
        name = metadata.gcp("instance/name")
        token = json.loads(metadata.gcp("instance/service-accounts/default/token"))["access_token"]
        url = f"{api.rstrip('/')}/projects/{project}/zones/{zone}/instances/{name}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"}, method="DELETE")  # noqa: S310
        urllib.request.urlopen(request, timeout=_PATIENCE).close()  # noqa: S310
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
