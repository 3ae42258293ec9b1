"""Whether runs can execute in an image on this machine: found out once a launch, before the first
run.

The image is pulled where it is missing; then a container with a run's own command line says which
Python it has, whether it can write where the runs will, and whether the function can be imported
there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from runslot.errors import InvalidInput
from runslot.execute.container import (
    Contained,
    client_environment,
    command_line,
    engine_words,
    lacks_program,
    name_of,
    say_end,
)
from runslot.execute.outside import contained, end_container, package_inside, program_of, told
from runslot.experiment.records import Container, RunFile, travels_by_value
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot

_SAID = re.compile(r"^runslot-python (\d+)\.(\d+)$", re.MULTILINE)
_PROBLEM = "runslot-problem "
_NO_ANSWER = re.compile(
    r"cannot connect|connection refused|permission denied while trying to connect|daemon running",
    re.I,
)

_PROBE = """\
import sys
print("runslot-python %%d.%%d" %% sys.version_info[:2])
sys.stdout.flush()
open(%r, "w").close()
if sys.version_info >= (3, 10):
    sys.path.insert(0, %r)
    from runslot.execute.inside import probe
    probe(%r, %r)
"""


def check_image(
    home: Path,
    file: RunFile,
    python_version: str,
    slot: Slot | None,
    caller: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Refuse, with `InvalidInput` or `NotInstalled`, what no run of the experiment in `home` could
    execute in.

    `file` is that of any of its runs, `python_version` the launching interpreter's, as `3.11`.
    """
    container = file.require_container()
    program = program_of(container, caller)
    _fetch(container, program, caller, say)
    mark = home / f".probe-{uuid.uuid4().hex}"
    spec = replace(contained(RunDir(home), file, container, slot), name=name_of(str(mark)))
    try:
        code, output = _probe(container, program, spec, file, caller, mark)
        _judge(container, spec, file, python_version, code, output)
        owner = mark.stat().st_uid
    except KeyboardInterrupt:
        end_container(container, caller, spec.name)
        raise
    finally:
        mark.unlink(missing_ok=True)
    if owner != spec.user.uid:
        raise InvalidInput(
            f"what {container.engine} writes in {container.image} belongs to user {owner}, not to"
            f' {spec.user.uid}: where its daemon runs as a user of its own, add "--user=0:0" to the'
            " container's options"
        )


def _fetch(
    container: Container, program: str, caller: Mapping[str, str], say: Callable[[str], None]
) -> None:
    if container.engine == "apptainer":
        path = Path(container.image).expanduser()
        if "://" not in container.image and not path.exists():
            raise InvalidInput(
                f"apptainer has no image {container.image!r}: there is no such file on {_host()}"
            )
        return
    code, output = _client(
        caller, program, "image", "inspect", "--format", "{{.Id}}", container.image
    )
    if code == 0:
        return
    if _NO_ANSWER.search(output):
        raise InvalidInput(
            f"image {container.image} cannot be run: {container.engine} does not answer on"
            f" {_host()} ({engine_words(output)}); start its daemon, or use engine podman, which"
            " needs none"
        )
    say(f"pulling image {container.image} with {container.engine}")
    code, output = _client(caller, program, "pull", container.image)
    if code != 0:
        raise InvalidInput(
            f"{container.engine} on {_host()} has no image {container.image!r}, and cannot pull it:"
            f" {engine_words(output)}"
        )


_TRIES = 3
"""How often an image is asked that fails without a word."""


def _probe(
    container: Container,
    program: str,
    spec: Contained,
    file: RunFile,
    caller: Mapping[str, str],
    mark: Path,
) -> tuple[int, str]:
    code = _PROBE % (str(mark), package_inside(), told(spec), str(mark.parent))
    argv = command_line(container, program, spec, ["-c", code])
    environment = client_environment(container, program, spec, caller)
    for _ in range(_TRIES):
        status, output = _client(environment, *argv, words=json.dumps(file.to_json()))
        if status == 0 or output.strip():
            break  # else its client lost what a container said that ended at once, as podman may
    return status, output


def _judge(
    container: Container,
    spec: Contained,
    file: RunFile,
    python_version: str,
    code: int,
    output: str,
) -> None:
    where = f"image {container.image} ({container.engine})"
    match = _SAID.search(output)
    if match is None:
        reason = say_end(container, code, output, spec.memory)
        raise InvalidInput(f"no run was started: {reason}{_advice(code, output)}")
    version = (int(match[1]), int(match[2]))
    if version < (3, 10):
        raise InvalidInput(
            f"{container.python} in {where} is Python {version[0]}.{version[1]}, and runslot needs"
            " 3.10 or newer: use another image, or name another interpreter as the container's"
            " python"
        )
    here = f"{version[0]}.{version[1]}"
    if travels_by_value(file.work) and python_version not in {"", here}:
        raise InvalidInput(
            f"the function travels by value from Python {python_version}, and {container.python} in"
            f" {where} is {here}: use an image with the same minor version, or write the function"
            " in a file of its own"
        )
    if code != 0:
        problem = output.partition(_PROBLEM)[2].strip() or engine_words(output)
        raise InvalidInput(f"no run was started in {where}: {problem}")


def _advice(code: int, output: str) -> str:
    if not lacks_program(code, output):
        return ""
    return (
        "; use an image with Python 3.10 or newer, or name its interpreter as the container's"
        " python"
    )


def _client(environment: Mapping[str, str], *arguments: str, words: str = "") -> tuple[int, str]:
    process = subprocess.run(
        arguments,
        input=words.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env=environment,
    )
    return process.returncode, process.stdout.decode(errors="replace")


def _host() -> str:
    return os.uname().nodename
