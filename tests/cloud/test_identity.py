"""Whether machines can have an identity of their own, so that the laptop's keys stay at home.

The clouds are a server that answers as IAM (its XML) and Google's APIs do; who asks is the real
driver, in SkyPilot's environment.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.cloud.test_quota import PYTHON, call, with_skypilot, write_account

from runslot.engines.sky.client import SkyPilot
from runslot.engines.sky.driver.quota import Quota

__all__ = ["call"]


def test_check_says_which_right_is_missing(call: Any, tmp_path: Path) -> None:
    quota = [Quota("x", "L-1", "us-east-1", "vCPUs", 99, 4)]
    well = call("launchers", "check", "rented", quotas=quota)
    assert "ok   rented: identity of the machines: skypilot-v1 is there" in well.stdout
    answer = {"well": False, "said": "skypilot-v1 is not there, … lack iam:CreateRole to make it"}
    (tmp_path / "stand-in" / "identity").write_text(json.dumps(answer))
    missing = call("launchers", "check", "rented", quotas=quota)
    assert missing.returncode == 1
    assert "FAIL rented: identity of the machines: skypilot-v1 is not there" in missing.stdout
    assert "remote_identity" in missing.stdout
    (tmp_path / "stand-in" / "identity").write_text('{"well": null, "said": "not known: no right"}')
    unknown = call("launchers", "check", "rented", quotas=quota)
    assert unknown.returncode == 0, unknown.stdout
    assert "identity of the machines: not known: no right" in unknown.stdout


class Clouds:
    """Answers as IAM and Google do of an account that has `rights`."""

    def __init__(self) -> None:
        self.there = False
        self.forbidden = False
        self.rights: list[str] = []
        clouds = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/token":
                    token = {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
                    self.answer(200, json.dumps(token))
                elif self.path.endswith(":testIamPermissions"):
                    asked = json.loads(body)["permissions"]
                    granted = [right for right in asked if right in clouds.rights]
                    self.answer(200, json.dumps({"permissions": granted}))
                else:
                    self.answer(*clouds.of_aws(parse_qs(body.decode())))

            def do_GET(self) -> None:
                status = 403 if clouds.forbidden else 200 if clouds.there else 404
                self.answer(status, json.dumps({"error": {"message": "no"}}))

            def answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def of_aws(self, asked: dict[str, list[str]]) -> tuple[int, str]:
        action = asked["Action"][0]
        if action == "GetInstanceProfile" and not self.there:
            code = "AccessDenied" if self.forbidden else "NoSuchEntity"
            return 403 if self.forbidden else 404, (
                f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error>"
                "</ErrorResponse>"
            )
        inner = ""
        if action == "GetCallerIdentity":
            inner = "<Arn>arn:aws:iam::123456789012:user/me</Arn>"
        if action == "SimulatePrincipalPolicy":
            names = [value[0] for key, value in asked.items() if key.startswith("ActionNames")]
            members = "".join(
                f"<member><EvalActionName>{name}</EvalActionName><EvalDecision>"
                f"{'allowed' if name in self.rights else 'implicitDeny'}</EvalDecision></member>"
                for name in names
            )
            inner = f"<EvaluationResults>{members}</EvaluationResults>"
        return 200, f"<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"


@pytest.fixture
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    made = Clouds()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    write_account(tmp_path / "account.json", f"{made.url}/token")
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": made.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "account.json"),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM": made.url,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": made.url,
    }.items():
        monkeypatch.setenv(name, value)
    yield made
    made.server.shutdown()
    made.server.server_close()


RIGHTS = {
    "aws": [
        "iam:CreateRole", "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile",
        "iam:AttachRolePolicy", "iam:PassRole",
    ],
    "gcp": [
        "iam.serviceAccounts.create", "iam.serviceAccounts.actAs",
        "resourcemanager.projects.setIamPolicy",
    ],
}  # fmt: skip
READ = {"aws": "iam:GetInstanceProfile", "gcp": "iam.serviceAccounts.get"}


@with_skypilot
@pytest.mark.engine
@pytest.mark.timeout(400)  # SkyPilot is loaded for each question
@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_the_driver_asks_whether_the_identity_is_there_or_may_be_made(
    clouds: Clouds, cloud: str
) -> None:
    sky = SkyPilot(PYTHON)
    *rights, last = RIGHTS[cloud]
    clouds.rights = rights
    missing = f"skypilot-v1 is not there, and these credentials lack {last} to make it"
    assert sky.identity(cloud) == (False, missing)
    clouds.rights.append(last)
    assert sky.identity(cloud) == (True, "skypilot-v1 is made with the first machine")
    clouds.forbidden = True
    well, said = sky.identity(cloud)
    assert well is False
    assert READ[cloud] in said
    clouds.there, clouds.forbidden = True, False
    assert sky.identity(cloud) == (True, "skypilot-v1 is there")
    clouds.server.shutdown()
    clouds.server.server_close()
    well, said = sky.identity(cloud)
    assert well is None
    assert said.startswith("not known: ")
