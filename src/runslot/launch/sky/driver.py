"""SkyPilot's SDK as far as it is used: rent, look, end, give back, prices. A process of its own.

It reads one JSON object, `{"verb": …}`, and prints one: what the verb's function returns, or how it was refused. So the
SDK (800 MB, with its own output and signals) may live in another environment, and nothing here loads it.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runslot.launch.sky.quota import quotas

PREFIX = "rs-"
"""Names of the machines that runslot rents begin with it."""


class Refused(Exception):
    """What was asked is not had; `kind` is `invalid`, `missing` (no SDK) or `later` (trying again can help)."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


def sdk() -> Any:
    """Return SkyPilot's module."""
    os.environ.setdefault("SKYPILOT_DISABLE_USAGE_COLLECTION", "1")
    try:
        import sky
    except ImportError as error:
        raise Refused("missing", f"{sys.executable} has no SkyPilot ({error})") from error
    return sky


def make(task: Mapping[str, Any]) -> Any:
    """Return SkyPilot's object for a task; `InvalidInput` in its words, with what is near to an unknown type."""
    sky = sdk()
    try:
        return sky.Task.from_yaml_config(dict(task))
    except Exception as error:
        raise Refused("invalid", _explained(str(error), task["resources"])) from error


def offer(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cheapest machine for a task by SkyPilot's catalog: what, price an hour, infra."""
    made = make(task)
    found = []
    for resources in made.resources:
        try:
            listed = resources.cloud.get_feasible_launchable_resources(resources, 1) if resources.cloud else None
        except Exception as error:
            raise Refused("invalid", _explained(str(error), task["resources"])) from error
        for each in listed.resources_list if listed else ():
            with contextlib.suppress(Exception):
                found.append(
                    {"what": _what(each), "price": float(each.get_cost(3600)), "infra": str(each.infra.to_str() or "")}
                )
    if not found:
        raise Refused("invalid", _explained("no machine of the catalog fits", task["resources"]))
    return min(found, key=lambda each: float(each["price"]))


def _what(resources: Any) -> str:
    parts = [resources.instance_type or "", str(resources.get_accelerators_str() or "").strip("-")]
    return ", ".join(part for part in (*parts, "spot" if resources.use_spot else "") if part)


def rent(task: Mapping[str, Any], name: str, dryrun: bool = False) -> None:
    """Rent a machine and give it its job; returns when the job is submitted. `Refused` where the cloud has none."""
    sky = sdk()
    made = make(task)
    try:
        sky.get(sky.launch(made, cluster_name=name, dryrun=dryrun))
    except Exception as error:
        raise Refused("later", f"{name} could not be rented: {_first_line(error)}") from error


def look(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return by name how machines are: `gone`, `starting` or `up`, and the state of the last job."""
    sky = sdk()
    try:
        known = sky.get(sky.status(list(names), refresh=sky.StatusRefreshMode.FORCE))
    except Exception as error:
        raise Refused("later", f"SkyPilot does not say how the machines are: {_first_line(error)}") from error
    found = {each["name"]: str(each["status"].value) for each in known}
    return {name: _seen(sky, name, found.get(name)) for name in names}


def _seen(sky: Any, name: str, status: str | None) -> dict[str, str]:
    if status in {None, "STOPPED", "AUTOSTOPPING"}:
        return {"state": "gone", "job": ""}
    if status != "UP":
        return {"state": "starting", "job": ""}
    try:
        jobs = sky.get(sky.queue(name))
    except Exception:  # noqa: BLE001  a machine that is just going away does not answer
        return {"state": "up", "job": ""}
    return {"state": "up", "job": str(_of(jobs[0], "status").value) if jobs else ""}


def alive(prefix: str = PREFIX) -> list[dict[str, Any]]:
    """Return all machines that runslot rented and SkyPilot still knows: name, status, infra, price an hour, since."""
    sky = sdk()
    try:
        known = sky.get(sky.status(refresh=sky.StatusRefreshMode.AUTO))
    except Exception as error:
        raise Refused("later", f"SkyPilot does not say which machines there are: {_first_line(error)}") from error
    return [_row(each) for each in known if each["name"].startswith(prefix)]


def _row(each: Any) -> dict[str, Any]:
    price = 0.0
    with contextlib.suppress(Exception):
        price = float(each["handle"].launched_resources.get_cost(3600))
    infra = "/".join(str(each[key]) for key in ("cloud", "region") if each[key])
    status = str(each["status"].value)
    return {
        "name": each["name"],
        "status": status,
        "infra": infra.lower(),
        "price": price,
        "since": each["launched_at"],
    }


def end(name: str) -> None:
    """Ask the job of a machine to end: its runs are stopped, and what they wrote is pushed."""
    sky = sdk()
    with contextlib.suppress(Exception):
        sky.get(sky.cancel(name, all=True))


def log(name: str) -> str:
    """Return the last lines that the last job of a machine printed."""
    sky = sdk()
    said = io.StringIO()
    with contextlib.suppress(Exception):
        sky.tail_logs(name, None, follow=False, tail=200, output_stream=said)
    return said.getvalue()


def give_back(name: str) -> None:
    """Give a machine back; one that is gone already is no error. `Refused` where it may still be there."""
    sky = sdk()
    try:
        sky.get(sky.down(name))
    except Exception as error:
        if type(error).__name__ in {"ClusterDoesNotExist", "ClusterNotUpError"} or "does not exist" in str(error):
            return
        raise Refused(
            "later", f"{name} could not be given back: {_first_line(error)}; `runslot cloud down {name}`"
        ) from error


def credentials(cloud: str) -> dict[str, Any]:
    """Tell whether SkyPilot can use a cloud, and what it says where it cannot."""
    sky = sdk()
    try:
        from sky.client import sdk as client

        enabled = sky.get(client.check(infra_list=(cloud,), verbose=False))
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        return {"well": False, "said": _first_line(error)}
    names = {str(name).lower() for clouds in enabled.values() for name in clouds}
    return {
        "well": cloud in names,
        "said": "" if cloud in names else f"enabled are: {', '.join(sorted(names)) or 'none'}",
    }


def _of(record: Any, key: str) -> Any:
    return record[key] if isinstance(record, Mapping) else getattr(record, key)


def _explained(said: str, resources: Mapping[str, Any]) -> str:
    said = " ".join(said.split())
    wanted = resources.get("instance_type")
    if wanted:
        near = _near(str(wanted), str(resources.get("infra", "")).partition("/")[0])
        if near:
            said = f"{said.rstrip('.')}. Near to {wanted}: {', '.join(near)}"
    return said


def _near(wanted: str, cloud: str) -> list[str]:
    """Return the known instance types that are written most alike; none for one that is known."""
    try:
        catalog = importlib.import_module(f"sky.catalog.{cloud}_catalog")
        table = catalog._get_df() if hasattr(catalog, "_get_df") else catalog._df
        known = sorted({str(each) for each in table["InstanceType"].dropna()})
    except Exception:  # noqa: BLE001  no such catalog here: nothing is near
        return []
    return [] if wanted in known else difflib.get_close_matches(wanted, known, n=3, cutoff=0.3)


def _first_line(error: BaseException) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    reasons = {
        str(each).strip().splitlines()[0]
        for each in getattr(error, "failover_history", None) or ()
        if str(each).strip()
    }
    return f"{said} ({'; '.join(sorted(reasons))})" if reasons else said


VERBS: Mapping[str, Callable[..., Any]] = {
    "offer": offer,
    "rent": rent,
    "look": look,
    "alive": alive,
    "log": log,
    "end": end,
    "give_back": give_back,
    "credentials": credentials,
    "quotas": quotas,
}


def main() -> int:
    """Carry out what stands on standard input; all that the SDK prints goes to the error output."""
    asked = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer = {"answer": VERBS[asked.pop("verb")](**asked)}
    except Refused as error:
        print(error.__cause__ or error, file=sys.stderr)  # the whole of it, for the log
        answer = {"refused": error.kind, "said": str(error)}
    with out:
        json.dump(answer, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
