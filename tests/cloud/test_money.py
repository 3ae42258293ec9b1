"""What is refused and said before machines are rented."""

from __future__ import annotations

import contextlib
import math
import os
import pty
import select
import signal
import sys

import pytest

from runslot.engines.sky import cost as money
from runslot.engines.sky.client import Offer
from runslot.engines.sky.config import Sky
from runslot.engines.sky.tasks import settings_of
from runslot.errors import InvalidInput


@pytest.mark.parametrize("price", [math.nan, math.inf, -1.0])
def test_a_machine_without_a_price_is_refused(price: float) -> None:
    with pytest.raises(InvalidInput, match="no price for g4dn"):
        money.check(money.Budget(Sky(infra="aws"), Offer("g4dn.xlarge", price), 1, 1))


@pytest.mark.parametrize("key", [b"\x04", b"\x03", b"\n"])
def test_who_leaves_the_question_rents_nothing(key: bytes) -> None:
    script = "from runslot.engines.sky.cost import agree_to_rent; agree_to_rent()"
    environment = {name: value for name, value in os.environ.items() if name != money.YES}
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # where the tests are in the background
        os.execve(sys.executable, [sys.executable, "-c", script], environment)
    output = b""
    while b"rent them? [y/N]" not in output:
        output += os.read(terminal, 4096)
    with contextlib.suppress(OSError):  # its end
        while True:
            os.write(terminal, key)
            # Again, as people do: C's reading misses a signal just after the prompt.
            while select.select([terminal], [], [], 1.0)[0]:
                output += os.read(terminal, 4096)
    assert os.waitpid(pid, 0)[1]
    os.close(terminal)
    assert b"InvalidInput: nothing was rented" in output


def budget(
    max_hours: float, infra: str = "aws", price: float = 1.0, machines: int = 1, **more: float
) -> money.Budget:
    config = Sky(infra=infra, max_hours=max_hours)
    return money.Budget(config, Offer("x", price), machines, 9, **more)


def test_a_limit_that_comes_before_the_expected_end_is_said() -> None:
    assert any("runs will be stopped" in line for line in money.table(budget(2.0, expected=9.0)))
    assert not any(
        "runs will be stopped" in line for line in money.table(budget(9.0, expected=9.0))
    )


def test_disks_stand_in_the_table_and_count_for_the_limits() -> None:
    two = budget(10.0, machines=2)
    lines = money.table(two)
    assert any(line.startswith("disk") and "64 GB each" in line for line in lines)
    assert any(line.startswith("traffic") and "$0.09 a GB" in line for line in lines)
    assert two.worst == pytest.approx(10 * (2 + 2 * 64 * 0.08 / 730))
    # a place that says nothing of disks: a cluster's nodes
    assert not any(
        line.startswith("disk") for line in money.table(budget(9.0, infra="slurm/here", price=0.0))
    )


# ---- what SkyPilot's configuration says while a machine is rented --------------------------------


def test_the_end_of_a_machine_of_ec2_is_armed_at_its_boot_also_for_a_container() -> None:
    for image in (None, "docker:python:3.12"):
        settings = settings_of(Sky(infra="aws/us-east-1", image=image), "s3://results/x", 5400.0)
        assert settings["aws"]["post_provision_runcmd"] == ["shutdown -h +90"]


@pytest.mark.parametrize(
    ("infra", "store", "identities"),
    [
        ("aws", "s3://b/x", {"aws": "SERVICE_ACCOUNT", "gcp": "NO_UPLOAD"}),
        ("aws/us-east-1", "gs://b/x", {"aws": "SERVICE_ACCOUNT"}),  # it pushes with Google's keys
        ("gcp/us-central1", "gs://b/x", {"gcp": "SERVICE_ACCOUNT", "aws": "NO_UPLOAD"}),
        ("kubernetes", "s3://b/x", {"gcp": "NO_UPLOAD"}),  # to its pods those that they push with
        ("slurm/here", "file:///shared/x", {"aws": "NO_UPLOAD", "gcp": "NO_UPLOAD"}),
    ],
)
def test_keys_of_the_laptop_travel_only_to_where_the_bucket_wants_them(
    infra: str, store: str, identities: dict[str, str]
) -> None:
    settings = settings_of(Sky(infra=infra), store, 3600.0)
    assert {cloud: values["remote_identity"] for cloud, values in settings.items()} == identities
