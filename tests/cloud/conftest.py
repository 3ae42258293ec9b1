"""Buckets behind real servers of their own: moto for S3, gcp-storage-emulator for Google Cloud
Storage.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runslot.transport.bucket import Store, open_store

HERE = Path(__file__).parent
STAND_IN = HERE / "sky_stand_in"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # aiohttp's advice to gcsfs, which hands it parts of 16 MB as bytes
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(
                pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
            )


@pytest.fixture(autouse=True)
def _compiled(cached_archive: None) -> None:
    """Every launch here sends runslot as one file."""


@dataclass
class Server:
    """A server process on a port of its own, which can be killed and started again."""

    command: list[str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip(
        "moto", reason="the dependency group cloud-test is not installed: make test-cloud"
    )
    pytest.importorskip(
        "s3fs", reason="the dependency group cloud-test is not installed (make test-cloud)"
    )
    port = free_port()
    server = Server(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        port,
        tmp_path_factory.mktemp("moto") / "log",
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip(
        "gcp_storage_emulator", reason="the dependency group cloud-test is not installed"
    )
    pytest.importorskip("gcsfs", reason="the dependency group cloud-test is not installed")
    port = free_port()
    program = Path(__file__).parent / "gcs_emulator"
    server = Server(
        [
            sys.executable,
            str(program),
            "start",
            "--host=127.0.0.1",
            f"--port={port}",
            "--in-memory",
        ],
        port,
        tmp_path_factory.mktemp("gcs") / "log",
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture
def s3(moto: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a new bucket."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": moto.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"b-{abs(hash(str(tmp_path))) % 10**12}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    yield f"s3://{name}/runs"
    try:
        for each in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=each["Key"])
        client.delete_bucket(Bucket=name)
    except Exception:
        pass  # a test deleted it


@pytest.fixture
def gcs(emulator: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    name = f"b-{abs(hash(str(tmp_path))) % 10**12}"
    request = urllib.request.Request(
        f"{emulator.url}/storage/v1/b?project=test",
        data=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()
    return f"gs://{name}/runs"


@pytest.fixture(params=["directory", "s3", "gcs"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new bucket of each kind."""
    if request.param == "directory":
        return f"file://{tmp_path}/bucket"
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def store(address: str) -> Store:
    return open_store(address)
