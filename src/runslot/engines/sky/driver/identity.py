"""The identity that rented machines get in the place of the laptop's keys: whether it is there, or
may be made. Asked of the cloud with what SkyPilot has installed; in the driver's process.

SkyPilot makes it with the first machine: the role and instance profile `skypilot-v1` on EC2, the
service account of that name on Compute Engine. An account that may not is told so here, and not
when the machine is rented.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runslot.engines.sky.driver.managed_jobs import first_line

_NAME = "skypilot-v1"
_AWS_RIGHTS = (
    "iam:CreateRole", "iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile",
    "iam:AttachRolePolicy", "iam:PassRole",
)  # fmt: skip
_GCP_RIGHTS = (
    "iam.serviceAccounts.create", "iam.serviceAccounts.actAs",
    "resourcemanager.projects.setIamPolicy",
)  # fmt: skip


def identity(cloud: str) -> dict[str, Any]:
    """Tell whether machines of a cloud can have their identity (`well`: None where that cannot be
    found out), and what is missing.
    """
    try:
        return _CLOUDS[cloud]()
    except Exception as error:  # noqa: BLE001  whatever it is, it is not known then
        return {"well": None, "said": f"not known: {first_line(error)}"}


def _judged(missing: Sequence[str]) -> dict[str, Any]:
    if missing:
        text = f"{_NAME} is not there, and these credentials lack {', '.join(missing)} to make it"
        return {"well": False, "said": text}
    return {"well": True, "said": f"{_NAME} is made with the first machine"}


def _of_aws() -> dict[str, Any]:
    from sky.adaptors import aws

    iam = aws.client("iam", connect_timeout=5, read_timeout=10, total_max_attempts=2)
    try:
        iam.get_instance_profile(InstanceProfileName=_NAME)
    except Exception as error:
        if _code(error) in {"AccessDenied", "AccessDeniedException"}:
            return _judged(["iam:GetInstanceProfile"])
        if _code(error) != "NoSuchEntity":
            raise
    else:
        return {"well": True, "said": f"{_NAME} is there"}
    who = aws.client("sts").get_caller_identity()["Arn"]
    answers = iam.simulate_principal_policy(PolicySourceArn=who, ActionNames=list(_AWS_RIGHTS))
    return _judged(
        [
            answer["EvalActionName"]
            for answer in answers["EvaluationResults"]
            if answer["EvalDecision"] != "allowed"
        ]
    )


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _of_gcp() -> dict[str, Any]:
    import google.auth
    from google.auth.transport.requests import AuthorizedSession
    from sky.clouds import GCP

    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    project = GCP.get_project_id()
    account = f"projects/{project}/serviceAccounts/{_NAME}@{project}.iam.gserviceaccount.com"
    with AuthorizedSession(credentials) as session:
        answer = session.get(f"{_api('IAM', 'iam')}/v1/{account}", timeout=15)
        if answer.ok:
            return {"well": True, "said": f"{_NAME} is there"}
        if answer.status_code == 403:
            return _judged(["iam.serviceAccounts.get"])
        if answer.status_code != 404:
            raise RuntimeError(answer.json()["error"]["message"])
        manager = _api("CLOUDRESOURCEMANAGER", "cloudresourcemanager")
        answer = session.post(
            f"{manager}/v1/projects/{project}:testIamPermissions",
            json={"permissions": list(_GCP_RIGHTS)},
            timeout=15,
        )
    if not answer.ok:
        raise RuntimeError(answer.json()["error"]["message"])
    granted = answer.json().get("permissions", [])
    return _judged([right for right in _GCP_RIGHTS if right not in granted])


def _api(word: str, name: str) -> str:
    """Return the address of an API, as gcloud has it: another for a private endpoint."""
    default = f"https://{name}.googleapis.com"
    return os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{word}", default).rstrip("/")


_CLOUDS: Mapping[str, Callable[[], dict[str, Any]]] = {"aws": _of_aws, "gcp": _of_gcp}
