"""The identity that rented machines get in the place of the laptop's keys: whether it is there, or
may be made. Asked of the cloud with what SkyPilot has installed; in the driver's process.

SkyPilot makes it with the first machine: the role and instance profile `skypilot-v1` on EC2, the
service account of that name on Compute Engine. An account that may not is told so here, and not
when the machine is rented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runslot.engines.sky.driver.managed_jobs import first_line
from runslot.engines.sky.driver.quota import aws_code, google

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
        if aws_code(error) in {"AccessDenied", "AccessDeniedException"}:
            return _judged(["iam:GetInstanceProfile"])
        if aws_code(error) != "NoSuchEntity":
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


def _of_gcp() -> dict[str, Any]:
    from sky.clouds import GCP

    project = GCP.get_project_id()
    account = f"{_NAME}@{project}.iam.gserviceaccount.com"
    answer = google("IAM", f"v1/projects/{project}/serviceAccounts/{account}", refusals={403, 404})
    if answer == 403:
        return _judged(["iam.serviceAccounts.get"])
    if answer != 404:
        return {"well": True, "said": f"{_NAME} is there"}
    question = f"v1/projects/{project}:testIamPermissions"
    answer = google("CLOUDRESOURCEMANAGER", question, {"permissions": list(_GCP_RIGHTS)})
    granted = answer.get("permissions", [])
    return _judged([right for right in _GCP_RIGHTS if right not in granted])


_CLOUDS: Mapping[str, Callable[[], dict[str, Any]]] = {"aws": _of_aws, "gcp": _of_gcp}
