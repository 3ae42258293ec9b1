"""SkyPilot's SDK as far as it is used: rent, look, end, give back, prices. A process of its own.

It reads one JSON object, `{"verb": …}`, and prints one: what the verb's function returns, or how it
was refused. So the SDK (800 MB, with its own output and signals) may live in another environment,
and nothing here loads it.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runslot.engines.sky.driver import managed_jobs as jobs
from runslot.engines.sky.driver.identity import identity
from runslot.engines.sky.driver.managed_jobs import (
    PREFIX,
    Refused,
    first_line,
    launchable,
    sdk,
    vcpus,
)
from runslot.engines.sky.driver.quota import quotas

_AT_ONCE = 16


def offer(task: Mapping[str, Any], managed: bool = False) -> dict[str, Any]:
    """Return the cheapest machine for a task by SkyPilot's catalog: what, and its price an hour.
    `Refused` in SkyPilot's words, with what is near to an unknown type.

    With `managed` also `controller`, what looks after managed jobs, and its price, or that it is
    no machine (`has_controller`).
    """
    sky = sdk()
    cause, machines, text = None, [], "no machine of the catalog fits"
    try:
        sky_task = sky.Task.from_yaml_config(dict(task))
        machines = launchable(sky_task.resources)
    except Exception as error:  # noqa: BLE001  whatever it is, it is said
        cause, text = error, " ".join(str(error).split()).rstrip(".")
    if not machines:
        resources = task["resources"]
        near = _near(resources.get("instance_type"), resources.get("infra", ""))
        raise Refused("invalid", f"{text}{near}") from cause
    price, machine = machines[0]
    answer = {
        "what": _what(machine),
        "price": price,
        "vcpus": vcpus(machine),
        "gpus": int(sum((machine.accelerators or {}).values())),
    }
    if not managed:
        return answer
    controller = jobs.controller(sky_task)
    # None where none of the clouds that are enabled hosts one.
    small_price, small = next(iter(launchable(controller)), (0.0, None))
    return {
        **answer,
        "has_controller": not controller,
        "controller": _what(small) if small else "",
        "controller_price": small_price,
    }


def _what(resources: Any) -> str:
    parts = [resources.instance_type or "", str(resources.get_accelerators_str() or "").strip("-")]
    return ", ".join(part for part in (*parts, "spot" if resources.use_spot else "") if part)


def rent(
    task: Mapping[str, Any],
    name: str,
    settings: Mapping[str, Any],
    managed: bool,
    dryrun: bool,
) -> None:
    """Rent a machine and give it its job; returns when the job is submitted. `Refused` where the
    cloud has none.

    `settings` join SkyPilot's configuration: what the user's own says of an identity stands, and
    commands at the boot are done before the user's.
    """
    sky = sdk()
    try:
        sky_task = sky.Task.from_yaml_config(dict(task))
        with _configured(settings):
            if managed:
                # Of no group: a launch inside a managed job would end with it.
                sky.get(sky.jobs.launch(sky_task, name=name, job_group=None))
            else:
                sky.get(sky.launch(sky_task, cluster_name=name, dryrun=dryrun))
    except Exception as error:
        raise Refused("later", f"{name} could not be rented: {first_line(error)}") from error


def _configured(settings: Mapping[str, Any]) -> contextlib.AbstractContextManager[None]:
    """Return SkyPilot's configuration with `settings`, as long as it is entered; the client sends
    it with each request.
    """
    config = importlib.import_module("sky.skypilot_config")
    merged: dict[str, Any] = {}
    for cloud, values in settings.items():
        merged[cloud] = {}
        for key, value in values.items():
            before = config.get_nested((cloud, key), default_value=None)
            if isinstance(value, list):
                merged[cloud][key] = [*value, *(before or [])]
            elif before is None:
                merged[cloud][key] = value
    override: contextlib.AbstractContextManager[None] = config.override_skypilot_config(merged)
    return override


def look(machines: Mapping[str, bool] | None = None) -> list[dict[str, Any]]:
    """Return how machines are, each by its name and whether a managed job has it; without names all
    that runslot rented. One that is gone is not in the answer.

    What has a name is asked of its cloud, with its job.
    """
    sky = sdk()
    plain = [name for name, managed in (machines or {}).items() if not managed]
    try:
        if machines is None:
            clusters = sky.get(sky.status(refresh=sky.StatusRefreshMode.AUTO))
        else:
            mode = sky.StatusRefreshMode.FORCE
            clusters = sky.get(sky.status(plain, refresh=mode)) if plain else []
        ours = [cluster for cluster in clusters if cluster.name.startswith(PREFIX)]
        sights = jobs.sights(sky, machines)
    except Exception as error:
        subject = "which machines there are" if machines is None else ", ".join(machines)
        raise Refused(
            "later", f"SkyPilot does not tell of {subject}: {first_line(error)}"
        ) from error
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*pool.map(lambda c: _sight(sky, c, machines is not None), ours), *sights]


def _sight(sky: Any, cluster: Any, with_job: bool) -> dict[str, Any]:
    name, status = cluster.name, cluster.status.value
    state = {"UP": "up", "STOPPED": "gone", "AUTOSTOPPING": "gone"}.get(status, "starting")
    job, price = "", 0.0
    if with_job and state == "up":
        with contextlib.suppress(Exception):  # a machine that is just going away does not answer
            queue = sky.get(sky.queue(name))
            job = queue[0].status.value if queue else ""
    with contextlib.suppress(Exception):
        price = float(cluster.handle.launched_resources.get_cost(3600))
    infra = "/".join(part for part in (cluster.cloud, cluster.region) if part).lower()
    sight = {"name": name, "state": state, "status": status, "job": job, "infra": infra}
    return {**sight, "price": price, "since": cluster.launched_at}


def log(name: str, managed: bool = False) -> str:
    """Return the last lines that the last job of a machine printed."""
    sky = sdk()
    output = io.StringIO()
    with contextlib.suppress(Exception):
        if managed:
            jobs.log(sky, name, output)
        else:
            sky.tail_logs(name, None, follow=False, tail=200, output_stream=output)
    return output.getvalue()


def give_back(name: str, managed: bool = False) -> None:
    """Give a machine back; one that is gone already is no error. `Refused` where it may still be
    there.
    """
    sky = sdk()
    try:
        if managed:
            jobs.give_back(sky, name)
        else:
            sky.get(sky.down(name))
    except Exception as error:
        if type(error).__name__ in {
            "ClusterDoesNotExist",
            "ClusterNotUpError",
        } or "does not exist" in str(error):
            return
        raise Refused(
            "later",
            f"{name} could not be given back: {first_line(error)}; `runslot cloud down {name}`",
        ) from error


def credentials(cloud: str) -> dict[str, Any]:
    """Tell whether SkyPilot can use a cloud, and what it says where it cannot."""
    sky = sdk()
    try:
        from sky.client import sdk as client

        enabled = sky.get(client.check(infra_list=(cloud,), verbose=False))
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        return {"well": False, "said": first_line(error)}
    names = {str(name).lower() for clouds in enabled.values() for name in clouds}
    return {
        "well": cloud in names,
        "said": "" if cloud in names else f"enabled are: {', '.join(sorted(names)) or 'none'}",
    }


def _near(instance: str | None, infra: str) -> str:
    """Return the known instance types that are written most alike, as a sentence; nothing for one
    that is known.
    """
    try:
        catalog = importlib.import_module(f"sky.catalog.{infra.partition('/')[0]}_catalog")
        table = catalog._get_df() if hasattr(catalog, "_get_df") else catalog._df
        names = sorted({str(name) for name in table["InstanceType"].dropna()})
    except Exception:  # noqa: BLE001  no such catalog here: nothing is near
        return ""
    if not instance or instance in names:
        return ""
    near = difflib.get_close_matches(instance, names, n=3, cutoff=0.3)
    return f". Near to {instance}: {', '.join(near)}" if near else ""


VERBS: Mapping[str, Callable[..., Any]] = {
    verb.__name__: verb
    for verb in (offer, rent, look, log, give_back, credentials, quotas, identity)
}


def main() -> int:
    """Carry out what stands on standard input; all that the SDK prints goes to the error output."""
    request = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer = {"answer": VERBS[request.pop("verb")](**request)}
    except Refused as error:
        print(error.__cause__ or error, file=sys.stderr)  # the whole of it, for the log
        answer = {"refused": error.kind, "said": str(error)}
    with out:
        json.dump(answer, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
