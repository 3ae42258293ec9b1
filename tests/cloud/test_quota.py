"""What an account's quotas leave room for: judged, said by check and launch, and read by the real
driver process.

AWS and Google are stand-ins here: a server that answers as Service Quotas (its JSON; moto has no
quotas of EC2) and Compute Engine (its REST) do. The clients that ask are the real ones, in
SkyPilot's environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runslot.engines.sky.check import check_bucket, room_for
from runslot.engines.sky.client import SkyPilot
from runslot.engines.sky.config import Sky
from runslot.engines.sky.driver.quota import Quota
from runslot.engines.sky.tasks import NO_JOB, task_of
from runslot.errors import InvalidInput, RunslotError
from runslot.transport.bucket import Unreachable, open_store

STAND_IN = Path(__file__).parent / "sky_stand_in"
PYTHON = os.environ.get("RUNSLOT_TEST_SKYPILOT", "")
with_skypilot = pytest.mark.skipif(
    not PYTHON, reason="no environment with SkyPilot: make test-cloud makes one"
)

G = "Running On-Demand G and VT instances"


def g(region: str = "us-east-1", limit: float | None = 8, **more: Any) -> Quota:
    return Quota(G, "L-DB2E81BA", region, "vCPUs", limit, 4, **more)


# ---- judged --------------------------------------------------------------------------------------


def test_enough_is_said_with_its_numbers() -> None:
    room = room_for(2, [g()], "aws")
    assert (room.machines, room.fix) == (2, "")
    assert room.said == f"8 vCPUs of {G!r} in us-east-1, 2 machines take 4 each"


def test_too_few_names_what_to_ask_for_and_where() -> None:
    room = room_for(3, [g()], "aws")
    assert room.machines == 2
    assert room.said.endswith("3 machines take 4 each: enough for 2 of them")
    assert (
        "aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 "
        "--quota-code L-DB2E81BA --desired-value 12" in room.fix
    )
    assert room_for(1, [g(limit=0)], "aws").said.endswith("1 machine takes 4: too few for one")


def test_of_several_regions_the_one_with_most_room_counts() -> None:
    room = room_for(2, [g("us-east-1", 0), g("eu-west-1", 4), g("us-west-2", 0)], "aws")
    assert room.machines == 1
    assert room.said.startswith(f"the most of 3 regions is 4 vCPUs of {G!r} in eu-west-1")
    assert "--region eu-west-1" in room.fix


def test_a_region_that_is_not_known_may_have_room() -> None:
    room = room_for(2, [g(limit=0), g("eu-west-1", None, said="no right")], "aws")
    assert (room.machines, room.said) == (None, "not known: no right")
    assert room_for(2, [g(limit=8), g("eu-west-1", None, said="no right")], "aws").machines == 2
    assert room_for(1, [], "aws") == room_for(1, [], "gcp")
    assert room_for(1, [], "aws").machines is None


def test_a_limit_of_all_regions_together_counts_too() -> None:
    here = Quota("NVIDIA_T4_GPUS", "NVIDIA_T4_GPUS", "us-central1", "GPUs", 4, 1, 1)
    everywhere = Quota("GPUS_ALL_REGIONS", "GPUS_ALL_REGIONS", "", "GPUs", 0, 1)
    room = room_for(2, [everywhere, here], "gcp")
    assert room.machines == 0
    assert room.said == "0 GPUs of 'GPUS_ALL_REGIONS', 2 machines take 1 each: too few for one"
    assert "metric GPUS_ALL_REGIONS (https" in room.fix
    said = room_for(2, [here], "gcp").said
    assert (
        said
        == "4 GPUs (1 of them in use) of 'NVIDIA_T4_GPUS' in us-central1, 2 machines take 1 each"
    )


# ---- said by check and launch --------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    project = tmp_path / "project"
    (tmp_path / "stand-in" / "machines").mkdir(parents=True)
    project.mkdir()
    (project / "train.py").write_text("def train(variant):\n    pass\n")
    (project / "runslot.toml").write_text(
        '[launchers.rented]\nkind = "ec2"\nregion = "us-east-1"\nmachines = 2\nbucket ='
        f' "file://{tmp_path}/bucket"\nsync_interval = 1\nlook_interval = 1\npython ='
        f' "{sys.executable}"\nskypilot_python = "{STAND_IN}"\n'
    )
    # nothing is rented here
    environment = {
        **{name: value for name, value in os.environ.items() if name != "RUNSLOT_YES"},
        "SKY_STAND_IN": str(tmp_path / "stand-in"),
        "RUNSLOT_ROOT": str(tmp_path / "runs"),
    }

    def run(*arguments: str, quotas: list[Quota]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "stand-in" / "quotas").write_text(
            json.dumps([each.__dict__ for each in quotas])
        )
        return subprocess.run(
            [sys.executable, "-m", "runslot", *arguments], cwd=project, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def test_check_says_what_is_missing(call: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    short = call("launchers", "check", "rented", quotas=[g(limit=4)])
    assert short.returncode == 1
    assert (
        f"FAIL rented: quota: 4 vCPUs of {G!r} in us-east-1, 2 machines take 4 each: enough for 1"
        in short.stdout
    )
    assert "     ask for 8, which may take a day: aws service-quotas" in short.stdout
    well = call("launchers", "check", "rented", quotas=[g()])
    assert well.returncode == 0, well.stdout
    assert "ok   rented: quota: 8 vCPUs" in well.stdout


def test_check_says_that_a_quota_could_not_be_read_and_does_not_fail(
    call: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = call(
        "launchers",
        "check",
        "rented",
        quotas=[g(limit=None, said="these credentials may not read it")],
    )
    assert done.returncode == 0, done.stdout
    assert "ok   rented: quota: not known: these credentials may not read it" in done.stdout


def test_a_launch_without_room_for_one_machine_is_refused_before_the_first(
    call: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    sweep = ("run", "train.py:train", "--grid", "lr=0.1,0.2", "--on", "rented")
    none = call(*sweep, quotas=[g(limit=0)])
    assert none.returncode == 2
    assert f"quota does not allow it: 0 vCPUs of {G!r} in us-east-1" in none.stderr
    assert "request-service-quota-increase" in none.stderr
    assert not (tmp_path / "stand-in" / "log").exists()
    short = call(*sweep, quotas=[g(limit=4)])  # said; the fixture's nobody then agrees to nothing
    assert "quota is short: 4 vCPUs" in short.stdout
    assert "add --yes" in short.stderr
    assert not (tmp_path / "stand-in" / "log").exists()


# ---- the bucket, asked by check ------------------------------------------------------------------


@pytest.fixture
def s3_refuses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server in the place of S3 that refuses with the code in this list; it says nothing where it
    is empty.
    """
    pytest.importorskip(
        "s3fs", reason="the dependency group cloud-test is not installed (make test-cloud)"
    )
    code: list[str] = []
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if not code:
                done.wait(60)
                return
            data = f"<Error><Code>{code[0]}</Code><Message>so it says</Message></Error>".encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield code
    done.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "ExpiredToken", "SignatureDoesNotMatch"])
def test_credentials_that_are_not_taken_are_told_from_a_missing_right(
    s3_refuses: list[str], code: str
) -> None:
    s3_refuses.append(code)
    with pytest.raises(
        InvalidInput, match=r"credentials for s3://mine are wrong or have expired .*`aws configure`"
    ):
        check_bucket(open_store("s3://mine/runs"))
    s3_refuses[0] = "AccessDenied"
    with pytest.raises(InvalidInput, match=r"may not write to s3://mine .*someone else's"):
        check_bucket(open_store("s3://mine/runs"))


def test_a_bucket_that_says_nothing_is_not_waited_for(s3_refuses: list[str]) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match="has not answered within 2 s: is this machine online"):
        check_bucket(open_store("s3://mine/runs"), patience=2)
    assert time.monotonic() - began < 45  # the server says nothing for 60


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_DEFAULT_REGION", "us east", "cannot be asked .*us east"),
        ("AWS_PROFILE", "nosuch", r"cannot be asked .*nosuch.*~/\.aws/config"),
        (
            "AWS_ENDPOINT_URL",
            "http://127.0.0.1:9",
            "nothing is lost. Is this machine online, and the region right",
        ),
    ],
)
def test_what_stands_wrong_on_this_machine_is_named(
    s3_refuses: list[str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    s3_refuses.append("AccessDenied")
    if variable == "AWS_DEFAULT_REGION":
        monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv(variable, value)
    with pytest.raises(RunslotError, match=said):
        check_bucket(open_store("s3://mine/runs"))


# ---- read by the driver --------------------------------------------------------------------------


class Clouds:
    """A server that answers as Service Quotas and as Compute Engine; `limits` by (region, code)."""

    def __init__(self) -> None:
        self.limits: dict[tuple[str, str], float] = {}
        self.refuses: str = ""
        self.hangs = 0.0
        self.asked: list[str] = []
        clouds = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/token":
                    self.answer(
                        200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
                    )
                    return
                # SkyPilot asks who this is, and for the names of zones
                if "X-Amz-Target" not in self.headers:
                    self.answer(400, {})
                    return
                assert self.headers["X-Amz-Target"] == "ServiceQuotasV20190624.GetServiceQuota"
                region = self.headers["Authorization"].split("/")[2]
                self.answer(*clouds.of_aws(region, json.loads(body)["QuotaCode"]))

            def do_GET(self) -> None:
                self.answer(*clouds.of_google(self.path))

            def answer(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def of_aws(self, region: str, code: str) -> tuple[int, Any]:
        self.asked.append(f"{region} {code}")
        time.sleep(self.hangs)
        if self.refuses:
            return 400, {"__type": self.refuses, "Message": "no"}
        if (region, code) not in self.limits:
            return 400, {"__type": "NoSuchResourceException", "Message": "no such quota"}
        return 200, {
            "Quota": {
                "QuotaCode": code,
                "QuotaName": f"name of {code}",
                "Value": self.limits[region, code],
            }
        }

    def of_google(self, path: str) -> tuple[int, Any]:
        self.asked.append(path)
        if self.refuses:
            return 403, {"error": {"code": 403, "message": self.refuses}}
        rows = [
            (region, {"metric": code, "limit": limit, "usage": 1.0})
            for (region, code), limit in self.limits.items()
        ]
        if path.startswith("/compute/v1/projects/p/regions"):
            names = dict.fromkeys(region for region, _ in rows if region)
            return 200, {
                "items": [
                    {"name": name, "quotas": [q for r, q in rows if r == name]} for name in names
                ]
            }
        return 200, {"quotas": [quota for region, quota in rows if not region]}


@pytest.fixture
def clouds() -> Iterator[Clouds]:
    made = Clouds()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


GPU = (
    "\"{'Gpus': [{'Name': 'T4', 'Manufacturer': 'NVIDIA', 'Count': 1, 'MemoryInfo': {'SizeInMiB':"
    " 16384}}], 'TotalGpuMemoryInMiB': 16384}\""
)


def write_catalogs(home: Path) -> None:
    """Write a few rows of SkyPilot's catalogs, which it would fetch: two regions of each cloud."""
    place = home / ".sky" / "catalogs" / "v8"
    for name in ("aws", "gcp", "common"):
        (place / name).mkdir(parents=True)
    head = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region"
    head = f"{head},AvailabilityZone"
    aws = [f"{head},Arch"]
    gcp = [head]
    for region, more in (("us-east-1", 0.0), ("eu-west-1", 0.1)):
        aws += [
            f"m6i.large,,,2,8,,{0.096 + more},0.04,{region},{region}a,x86_64",
            f"g4dn.xlarge,T4,1,4,16,{GPU},{0.526 + more},0.1578,{region},{region}a,x86_64",
        ]
    for region, more in (("us-central1", 0.0), ("europe-west4", 0.1)):
        gcp += [
            f"n2-standard-8,,,8,32,,{0.39 + more},0.1,{region},{region}-a",
            f"n1-highmem-4,,,4,26,,{0.23 + more},0.05,{region},{region}-a",
            f",T4,1,,,{GPU},{0.35 + more},0.11,{region},{region}-a",
        ]
    (place / "aws" / "vms.csv").write_text("\n".join(aws) + "\n")
    (place / "gcp" / "vms.csv").write_text("\n".join(gcp) + "\n")
    images = "Tag,Region,OS,OSVersion,ImageId,CreationDate,BaseImageId\n"
    for name in ("aws", "gcp"):
        (place / name / "images.csv").write_text(images)
    codes = "OnDemandInstanceCode,SpotInstanceCode"
    (place / "aws" / "instance_quota_mapping.csv").write_text(
        f"InstanceType,{codes}\ng4dn.xlarge,L-DB2E81BA,L-3819A6DF\n"
    )
    (place / "gcp" / "accelerator_quota_mapping.csv").write_text(
        f"Accelerator,{codes}\nT4,NVIDIA_T4_GPUS,PREEMPTIBLE_NVIDIA_T4_GPUS\n"
    )
    (place / "common" / "accelerators.csv").write_text("AcceleratorName,Clouds\nT4,aws\n")


def write_account(file: Path, token: str) -> None:
    """Write a service account of Google's, with a key of its own, whose tokens come from the
    stand-in.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key": key.decode(),
        "token_uri": token,
    }
    file.write_text(
        json.dumps({**account, "client_email": "x@p.iam.gserviceaccount.com", "client_id": "1"})
    )


@pytest.fixture
def sky(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SkyPilot:
    write_catalogs(tmp_path)
    write_account(tmp_path / "account.json", f"{clouds.url}/token")
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": clouds.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "account.json"),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{clouds.url}/compute/v1/",
    }.items():
        monkeypatch.setenv(name, value)
    return SkyPilot(PYTHON, tmp_path / "log")


def asked(sky: SkyPilot, **machine: Any) -> tuple[Quota, ...]:
    return sky.quotas(task_of(Sky(**machine), NO_JOB, ".", {}))


@with_skypilot
def test_what_aws_allows_is_read_in_the_region_or_in_all_of_them(
    sky: SkyPilot, clouds: Clouds
) -> None:
    clouds.limits = {("us-east-1", "L-DB2E81BA"): 8.0, ("eu-west-1", "L-DB2E81BA"): 0.0}
    found = asked(sky, infra="aws/us-east-1", accelerators="T4:1")
    assert found == (Quota("name of L-DB2E81BA", "L-DB2E81BA", "us-east-1", "vCPUs", 8.0, 4.0),)
    everywhere = asked(sky, infra="aws", instance_type="g4dn.xlarge")
    assert [(each.region, each.limit) for each in everywhere] == [
        ("us-east-1", 8.0),
        ("eu-west-1", 0.0),
    ]


@with_skypilot
@pytest.mark.parametrize(
    ("machine", "code"),
    [
        ({"instance_type": "g4dn.xlarge", "spot": True}, "L-3819A6DF"),
        ({"instance_type": "m6i.large"}, "L-1216C47A"),
        ({"instance_type": "m6i.large", "spot": True}, "L-34B43A08"),
    ],
)
def test_each_kind_of_machine_has_its_quota(
    sky: SkyPilot, clouds: Clouds, machine: dict[str, Any], code: str
) -> None:
    clouds.limits = {("us-east-1", code): 5.0}
    (found,) = asked(sky, infra="aws/us-east-1", **machine)
    assert (found.code, found.limit) == (code, 5.0)


@with_skypilot
def test_what_aws_does_not_tell_is_not_known(sky: SkyPilot, clouds: Clouds) -> None:
    clouds.refuses = "AccessDeniedException"
    (found,) = asked(sky, infra="aws/us-east-1", instance_type="g4dn.xlarge")
    assert found.limit is None
    assert "the right servicequotas:GetServiceQuota" in found.said
    clouds.refuses = ""
    (found,) = asked(sky, infra="aws/us-east-1", instance_type="g4dn.xlarge")
    assert "NoSuchResource" in found.said


@with_skypilot
def test_what_google_allows_is_read(sky: SkyPilot, clouds: Clouds) -> None:
    clouds.limits = {
        ("", "GPUS_ALL_REGIONS"): 2.0,
        ("us-central1", "NVIDIA_T4_GPUS"): 4.0,
        ("us-central1", "PREEMPTIBLE_NVIDIA_T4_GPUS"): 0.0,
        ("us-central1", "CPUS"): 24.0,
        ("us-central1", "N2_CPUS"): 16.0,
        ("us-central1", "PREEMPTIBLE_CPUS"): 0.0,
        ("europe-west4", "CPUS"): 24.0,
    }
    found = asked(sky, infra="gcp/us-central1", accelerators="T4:1")
    assert {(each.code, each.region, each.limit, each.one, each.used) for each in found} == {
        ("GPUS_ALL_REGIONS", "", 2.0, 1.0, 1.0),
        ("NVIDIA_T4_GPUS", "us-central1", 4.0, 1.0, 1.0),
        ("CPUS", "us-central1", 24.0, 4.0, 1.0),
    }
    spot = asked(sky, infra="gcp/us-central1", accelerators="T4:1", spot=True)
    assert {each.code for each in spot} == {"PREEMPTIBLE_NVIDIA_T4_GPUS", "CPUS"}
    assert room_for(1, spot, "gcp").machines == 0
    (plain,) = asked(sky, infra="gcp/us-central1", instance_type="n2-standard-8")
    assert (plain.code, plain.limit, plain.one) == ("N2_CPUS", 16.0, 8.0)
    elsewhere = asked(sky, infra="gcp", instance_type="n2-standard-8")
    assert [each.limit for each in elsewhere] == [16.0, None]


@with_skypilot
def test_what_google_does_not_tell_is_not_known(sky: SkyPilot, clouds: Clouds) -> None:
    clouds.refuses = "Compute Engine API has not been used in project p before or it is disabled."
    (found,) = asked(sky, infra="gcp/us-central1", accelerators="T4:1")
    assert found.said == f"RuntimeError: {clouds.refuses}"


@with_skypilot
def test_a_cloud_that_does_not_answer_is_not_waited_for(sky: SkyPilot, clouds: Clouds) -> None:
    clouds.hangs = 300.0
    began = time.monotonic()
    (found,) = asked(sky, infra="aws/us-east-1", instance_type="g4dn.xlarge")
    assert found.limit is None
    assert time.monotonic() - began < 200
