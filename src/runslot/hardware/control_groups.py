"""What the control groups of this process (versions 1 and 2) allow it: CPUs, their time, memory.

Read by `hardware.probe` from plain files under any root. A limit may stand at the group itself or
at any above it; inside a container the group is often mounted at the top. That a file is missing
means no limit.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH123

from __future__ import annotations

from collections.abc import Iterator

_V1_MOUNTS = {
    "cpuset": ("sys/fs/cgroup/cpuset", "dev/cpuset"),
    "cpu": ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"),
    "memory": ("sys/fs/cgroup/memory",),
}
_V2_MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified")


def cpuset(root: str) -> str:
    """Return the CPUs that the nearest cpuset allows, as the kernel's list; an empty string where
    there is none.
    """
    v1, v2 = (
        ("cpuset.effective_cpus", "cpuset.cpus", "cpus"),
        (
            "cpuset.cpus.effective",
            "cpuset.cpus",
        ),
    )
    for directory, version in _directories(root, "cpuset"):
        for name in v2 if version == 2 else v1:
            text = read(f"{directory}/{name}")
            if text:
                return text
    return ""


def cpu_quota(root: str) -> float | None:
    """Return how many CPUs' time the groups allow, the least of all; None where they allow all."""
    quotas = []
    for directory, version in _directories(root, "cpu"):
        if version == 2:
            quota, _, period = read(f"{directory}/cpu.max").partition(" ")
        else:
            quota, period = (
                read(f"{directory}/cpu.cfs_quota_us"),
                read(f"{directory}/cpu.cfs_period_us"),
            )
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):  # not `max`, -1
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: str) -> int | None:
    """Return how many bytes the groups allow, the least of all; None where they have no limit."""
    texts = [
        read(f"{directory}/{'memory.max' if version == 2 else 'memory.limit_in_bytes'}")
        for directory, version in _directories(root, "memory")
    ]
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _directories(root: str, controller: str) -> Iterator[tuple[str, int]]:
    """Yield where the files of a controller may lie, with its version: its own group first, then
    those above.
    """
    for line in read(f"{root}/proc/self/cgroup").splitlines() or ["0::/"]:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            mounts: tuple[str, ...] = _V2_MOUNTS
            version = 2
        elif controller in controllers.split(","):
            mounts, version = _V1_MOUNTS[controller], 1
        else:
            continue
        parts = [part for part in path.split("/") if part]
        above = ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]
        yield from ((f"{root}/{mount}/{group}", version) for mount in mounts for group in above)


def read(path: str) -> str:
    """Return the text of a kernel's file, or an empty string where it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
