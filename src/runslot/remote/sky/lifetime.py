"""How long this machine may live, what ends it then, and the threads that watch and send.

Its life is counted from when the task armed the deadline; of a machine that takes another's place
the switch-off is set anew, as the machines of a share have their time together. A machine that
switches itself off is deleted with its disk, and not only stopped, where it has the right to that:
on EC2 its task says so to the cloud first of all (`python -m runslot.remote.sky.lifetime`), on
Compute Engine it deletes itself. Whether the cloud takes it back is asked of the metadata service:
EC2 wants a token first (IMDSv2), Compute Engine a header; EC2's rebalance recommendation is not
looked for, as it may come hours before, or for nothing.

What must stay true: nothing here waits for the bucket or the cloud but its own thread. Where
something is to go out at once, the push under way is broken off.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from runslot.errors import RunslotError
from runslot.transport.bucket.push import BEAT, Pusher, TakenOver


def armed() -> float:
    """Return the Unix time from which this machine's life is counted: its boot, where it is ours
    alone; else the first line of its task, else now.
    """
    text = os.environ.get("RUNSLOT_ARMED")
    return float(text) if text else time.time()


def arm_again(end: float) -> None:
    """Have the machine switch itself off at its share's end, where its task has armed it for
    later: it is ours alone then, and no container stands between.
    """
    if not os.environ.get("RUNSLOT_SHUTDOWN"):
        return
    minutes = max(1, round((end - time.time()) / 60))
    process = subprocess.run(
        ["sudo", "shutdown", "-h", f"+{minutes}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        say(
            f"the deadline could not be armed anew ({process.stderr.strip()}): the machine lives"
            " longer than it should"
        )
    else:
        say(f"machines before had this share: it switches itself off in {minutes} minutes")


def end_early(cloud: str) -> None:
    """Delete the machine now that everything is sent at its deadline, where switching it off would
    only stop it.
    """
    is_ours = os.environ.get("RUNSLOT_OWN") or os.environ.get("RUNSLOT_SHUTDOWN")
    if cloud == "gcp" and is_ours:
        delete_itself()


# ---- notices -------------------------------------------------------------------------------------


_CLOUD_TIMEOUT_S = 30.0
_STAYS = "it will only be stopped at its deadline, and its disk costs until `runslot cloud down`"


def terminate_at_shutdown() -> None:
    """Have EC2 terminate this machine when it shuts down; where that could not be had, it is
    said.
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
        return
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
    else:
        say("this machine is deleted when it switches itself off")


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


def main(words: list[str]) -> None:
    """`delete SECONDS`: delete this machine after so long, whatever it does then; else have its
    shutdown terminate it.
    """
    if words[:1] == ["delete"]:
        time.sleep(max(0.0, float(words[1])))
        while not delete_itself():
            time.sleep(60)
    else:
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
"""Seconds between looks, for notices as EC2's documentation advises, and for what home asks."""


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


# ---- threads -------------------------------------------------------------------------------------


class Looking:
    """A look every so many seconds, until one finds what it looks for, or the process ends."""

    def __init__(self, name: str, pause: float, look: Callable[[], bool]) -> None:
        """Begin; `look` returns whether it has found all that there is to find."""
        self.has_found = False
        self._pause = pause
        self._look = look
        threading.Thread(target=self._loop, name=name, daemon=True).start()

    def _loop(self) -> None:
        while not self._found():
            time.sleep(self._pause)
        self.has_found = True

    def _found(self) -> bool:
        try:
            return self._look()
        except Exception as error:  # noqa: BLE001  a thread has no caller: it says so, and looks again
            say(f"{threading.current_thread().name}: {type(error).__name__}: {error}")
            return False


def say(text: str) -> None:
    """Print a line with the time, into the log of the machine's job."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


class Sender:
    """The only user of a pusher, until it is closed."""

    def __init__(self, pusher: Pusher, interval: float) -> None:
        """Begin, with a push at once; `interval` is in seconds."""
        self.interval = interval
        self.taken_over = False
        """Whether another machine has the share now: nothing more is sent."""
        self._pusher = pusher
        self._due = threading.Event()
        self._due.set()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="push", daemon=True)
        self._thread.start()

    def now(self) -> None:
        """Send what there is by now, rows and what has ended first; returns at once."""
        self._due.set()

    def close(self) -> None:
        """Break off what is under way, and return when the pusher is free."""
        self._closed = True
        self._due.set()
        self._thread.join()

    def _loop(self) -> None:
        pushed = -self.interval
        while not self.taken_over:
            remaining_s = max(0.0, pushed + self.interval - time.monotonic())
            is_due = self._due.wait(min(remaining_s, BEAT / 2)) or not remaining_s
            if is_due:
                # Here, not at the push's beginning: what is wanted from now on breaks it off.
                self._due.clear()
            if self._closed:
                return
            self._try(is_due)
            pushed = time.monotonic() if is_due else pushed

    def _try(self, is_due: bool) -> None:
        try:
            if not is_due:
                self._pusher.beat()
            elif byte_count := self._pusher.push(until=self._due.is_set):
                say(f"pushed {byte_count} bytes")
        except TakenOver as error:
            say(str(error))
            self.taken_over = True
        except RunslotError as error:
            say(f"{error}; the next push sends it")
        except Exception as error:  # noqa: BLE001  the runs go on; the last push says it again
            say(f"a push failed: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
