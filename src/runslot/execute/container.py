"""The command line by which an engine's client starts a run in a container, and what the engine's
answers mean; pure.

Directories have the same path inside as outside. Mounts are written as CSV fields (`--mount`),
which all three engines read with quotes, so that a path may hold spaces, commas, colons, quotes and
newlines.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from runslot.experiment.records import Container
from runslot.hardware.slots import Slot
from runslot.record import record

PACKAGE = "/opt/.runslot"
"""Where runslot itself is found inside."""

INSTALL = {
    "docker": "install Docker, or choose engine podman or apptainer",
    "podman": "install podman, or choose engine docker or apptainer",
    "apptainer": "install Apptainer, or choose engine docker or podman",
}

_IMAGES_OWN = frozenset(
    {
        "/",
        "/bin",
        "/dev",
        "/etc",
        "/lib",
        "/lib32",
        "/lib64",
        "/proc",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
        "/var",
    }
)
"""What an image brings itself, and cannot be without: never mounted over."""

_NO_WORDS = re.compile(
    r"\s*(Run '.* --help|See '.* --help|Usage:|time=\S+ level=warning|WARNING).*"
)


@record
class Mount:
    """A file or directory of this machine inside the container."""

    source: str
    target: str
    writable: bool = True

    @classmethod
    def of(cls, text: str) -> Mount:
        """Read `/data` or `/data:ro`, with the same path inside, or `/data:/mnt/data`."""
        path, colon, mode = text.rpartition(":")
        if not colon or mode not in {"ro", "rw"}:
            path, mode = text, "rw"
        source, colon, target = path.partition(":/")
        return cls(source, f"/{target}" if colon else source, mode == "rw")


@record
class User:
    """Whose files the run writes."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""


@record
class Contained:
    """What one run's container is to be."""

    name: str
    run_dir: str
    cwd: str
    mounts: tuple[Mount, ...]
    user: User
    path: tuple[str, ...] = ()
    """Import path of a function, as far as it is the user's code; the image's own follows."""
    python_path: tuple[str, ...] = ()
    slot: Slot | None = None
    all_gpus: bool = False
    """The run chooses among the machine's GPUs by itself (rlpyt's door)."""
    memory: int | None = None
    """Bytes that the kernel lets it have; None: as many as there are."""
    shared_memory: int | None = None
    """Bytes of `/dev/shm`; None: the engine's default, with which PyTorch's data loaders fail."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables set inside, besides those of the caller that `Container.environment` names."""
    pins: bool = True
    """Whether the engine may be asked for CPUs and memory; else the keeper inside sees to them
    alone.
    """


def name_of(run_dir: str) -> str:
    """Return the container's name: one for each run directory, so that no two containers can write
    to one.
    """
    return f"runslot-{hashlib.sha256(run_dir.encode(errors='surrogateescape')).hexdigest()[:16]}"


def command_line(
    container: Container, program: str, spec: Contained, arguments: Sequence[str]
) -> list[str]:
    """Return the client's arguments that run the image's Python with `arguments`.

    The client's input goes to the container; its end is the container's, and its exit status.
    """
    if container.engine == "apptainer":
        return _apptainer(container, program, spec, arguments)
    options = [
        "--rm",
        "--init",
        "--interactive",
        "--sig-proxy=false",
        "--log-driver",
        "none",
        "--name",
        spec.name,
    ]
    options += [
        "--label",
        f"runslot.run={spec.run_dir}",
        "--security-opt",
        "label=disable",
        "--workdir",
        spec.cwd,
    ]
    options += [*_as_user(container, spec.user), *_mounts(spec.mounts, "target")]
    if spec.pins:
        options += _limits(spec)
    if spec.shared_memory is not None and not _given(container.options, "--shm-size", "--ipc"):
        options += ["--shm-size", str(spec.shared_memory)]
    options += _podman_gpus(spec) if container.engine == "podman" else _docker_gpus(spec)
    options += [
        part for name, value in spec.settings.items() for part in ("--env", f"{name}={value}")
    ]
    options += [
        part for name in container.environment for part in ("--env", name)
    ]  # their values are in the client's
    return [
        program,
        "run",
        *options,
        "--entrypoint",
        container.python,
        *container.options,
        container.image,
        *arguments,
    ]


def client_environment(
    container: Container, program: str, spec: Contained, caller: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables of the client itself: the caller's, and for Apptainer those that are to
    go in.
    """
    environment = dict(caller)
    if container.engine == "apptainer":
        prefix = "SINGULARITYENV_" if program.endswith("singularity") else "APPTAINERENV_"
        named = {name: caller[name] for name in container.environment if name in caller}
        environment |= {prefix + name: value for name, value in {**spec.settings, **named}.items()}
    return environment


def _apptainer(
    container: Container, program: str, spec: Contained, arguments: Sequence[str]
) -> list[str]:
    # The user is the caller anyway; the keeper inside, a descendant of the one outside, sees to
    # CPUs and memory.
    options = [
        "--cleanenv",
        "--no-home",
        "--pid",
        "--pwd",
        spec.cwd,
        *_mounts(spec.mounts, "destination"),
    ]
    vendors = {gpu.vendor for gpu in spec.slot.gpus} if spec.slot is not None else set()
    options += [
        flag for vendor, flag in (("nvidia", "--nv"), ("amd", "--rocm")) if vendor in vendors
    ]
    return [
        program,
        "exec",
        *options,
        *container.options,
        container.image,
        container.python,
        *arguments,
    ]


def _as_user(container: Container, user: User) -> list[str]:
    # its containers live in the user's own namespace
    if container.engine == "podman" and user.uid != 0:
        return ["--userns", "keep-id"]
    groups = [group for group in user.groups if group != user.gid]
    return [
        "--user",
        f"{user.uid}:{user.gid}",
        *(part for group in groups for part in ("--group-add", str(group))),
    ]


def _mounts(mounts: Iterable[Mount], target: str) -> list[str]:
    return [part for mount in mounts for part in ("--mount", mount_text(mount, target))]


def mount_text(mount: Mount, target: str = "target") -> str:
    """Return a mount as the engines' `--mount` wants it, one CSV record."""
    fields = ["type=bind", f"source={mount.source}", f"{target}={mount.target}"]
    fields += [] if mount.writable else ["ro" if target == "destination" else "readonly"]
    return ",".join(_csv_field(field) for field in fields)


def _csv_field(text: str) -> str:
    plain = not set(text) & set(',"\n\r') and not text.startswith(" ")
    return text if plain else '"' + text.replace('"', '""') + '"'


def _limits(spec: Contained) -> list[str]:
    options = []
    if spec.slot is not None:
        options += ["--cpuset-cpus", _ranges(spec.slot.pus)]
    if spec.memory is not None:
        options += ["--memory", str(spec.memory), "--memory-swap", str(spec.memory)]
    return options


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def _docker_gpus(spec: Contained) -> list[str]:
    nvidia = _uuids(spec, "nvidia")
    options = (
        ["--gpus", "all" if spec.all_gpus else '"device=' + ",".join(nvidia) + '"']
        if nvidia
        else []
    )
    return options + _amd(spec)


def _podman_gpus(spec: Contained) -> list[str]:
    nvidia = ["all"] if spec.all_gpus and _uuids(spec, "nvidia") else _uuids(spec, "nvidia")
    return [part for uuid in nvidia for part in ("--device", f"nvidia.com/gpu={uuid}")] + _amd(spec)


def _amd(spec: Contained) -> list[str]:
    return ["--device", "/dev/kfd", "--device", "/dev/dri"] if _uuids(spec, "amd") else []


def _uuids(spec: Contained, vendor: str) -> list[str]:
    return [] if spec.slot is None else [gpu.uuid for gpu in spec.slot.gpus if gpu.vendor == vendor]


def _given(options: Sequence[str], *names: str) -> bool:
    return any(option.partition("=")[0] in names for option in options)


def hides_the_image(path: str) -> bool:
    """Tell whether mounting this directory at its own path would hide what the image cannot be
    without.
    """
    return path in _IMAGES_OWN


def engine_words(output: str) -> str:
    """Return what an engine's client said was wrong: the last line of its output that is no advice
    or warning.
    """
    lines = [
        line.strip()
        for line in output.splitlines()
        if line.strip() and not _NO_WORDS.fullmatch(line)
    ]
    lines = [re.sub(r'^time="[^"]*" level=\w+ msg="(.*)"$', r"\1", line) for line in lines]
    errors = [line for line in lines if re.match(r"(docker: |podman: )?(Error|FATAL|error)", line)]
    message = (errors or lines or [""])[-1]
    return re.sub(r"^(docker: |podman: )?(Error( response from daemon)?|FATAL): +", "", message)[
        :300
    ]


def lacks_program(code: int, output: str) -> bool:
    """Tell whether a container ended because its image has not the program that it was to run."""
    return code in {126, 127} or (
        code == 1 and "catatonit" in output and "failed to exec" in output
    )


def say_end(container: Container, code: int, output: str, memory: int | None) -> str:
    """Say why a container ended without an outcome of the run; `code` is the client's status, below
    0 a signal.
    """
    words, image = engine_words(output), f"image {container.image}"
    if code < 0:
        return (
            f"the {container.engine} client was killed by signal {-code}, and the run's container"
            " with it"
        )
    if code == 125 and re.search("waiting for (the )?container|unexpected EOF", words):
        return f"{container.engine} gave up the run's container ({image}): {words}"
    if code == 125:
        return f"{container.engine} could not start a container of {image}: {words}"
    if lacks_program(code, output):
        return f"{container.engine} cannot run {container.python} in {image}: {words}"
    if code == 137:
        limit = (
            ""
            if memory is None
            else f", or Python itself did not fit into {memory / 1e6:.0f} MB of memory"
        )
        return f"the run's container ({container.engine}, {image}) was killed from outside{limit}"
    return (
        f"the container ({container.engine}, {image}) ended with exit code {code} before the run"
        f" did: {words}"
    )
