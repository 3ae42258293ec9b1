"""Notifications, sent to a real HTTP server on this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("apprise")


class Service:
    """An HTTP server that keeps what it is sent."""

    def __init__(self, status: int = 200) -> None:
        service = self
        self.heard: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.heard.append(
                    json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                )
                self.send_response(status)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:secret@127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service(request):
    made = Service(getattr(request, "param", 200))
    yield made
    made.close()


def test_the_end_and_the_first_failure_are_told(runslot, service):
    runslot(
        "run",
        "train.py:train",
        "--name",
        "t",
        "--grid",
        "lr=0.1,2,3",
        "--notify",
        service.url,
        status=1,
    )
    first, end = sorted(service.heard, key=lambda told: "ended" in told["title"])
    assert first["title"] == "t: a run failed"
    assert "the loss is nan" in first["message"]
    assert end["title"] == "t: ended"
    assert end["message"].startswith("1 succeeded, 2 failed") or end["message"].startswith(
        "2 failed, 1 succeeded"
    )
    assert len(service.heard) == 2


def test_a_sweep_file_may_name_the_service_and_ask_for_a_copy_of_the_code(
    runslot, service, tmp_path
):
    sweep = {
        "function": "train.py:train",
        "grid": {"lr": [0.1]},
        "snapshot_code": True,
        "notify": service.url,
    }
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    runslot("run", "sweep.json", "--set", "name=t")
    assert [told["title"] for told in service.heard] == ["t: ended"]
    (experiment,) = tmp_path.glob("runs/t/2*")
    assert (experiment / "code" / "train.py").read_text() == (tmp_path / "train.py").read_text()


def test_a_detached_launch_notifies_and_no_file_holds_the_secret(runslot, service, until):
    runslot(
        "run",
        "train.py:train",
        "--name",
        "t",
        "--grid",
        "lr=0.1",
        "--detach",
        f"--notify={service.url}",
    )
    until(lambda: service.heard)
    until(lambda: runslot.status("t")["launcher"] is None)
    assert service.heard[0]["title"] == "t: ended"
    holding = [
        path
        for path in runslot.root.rglob("*")
        if path.is_file() and b"secret" in path.read_bytes()
    ]
    assert holding == []


@pytest.mark.parametrize("service", [500], indirect=True)
def test_a_service_that_refuses_harms_nothing_and_is_said(runslot, service):
    said = runslot(
        "run", "train.py:train", "--name", "t", "--grid", "lr=0.1", "--notify", service.url
    ).stdout
    assert "a notification could not be sent: json://user:****@127.0.0.1" in said
    assert "the run succeeded" in said


def test_what_is_no_service_is_refused_before_anything_starts(runslot):
    said = runslot.refused(
        "run", "train.py:train", "--name", "t", "--grid", "lr=0.1", "--notify", "nonsense"
    )
    assert "no notification URL" in said
    assert not list(runslot.root.glob("t/2*"))
