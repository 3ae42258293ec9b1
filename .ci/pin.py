"""Write constraints.txt: the newest versions that all extras and groups resolve to, on each Python
given.

Usage: python .ci/pin.py python3.10 python3.11 python3.12 python3.13
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WHAT = [
    ".[view,plot,notify,nvidia,tensorboard]",
    *(f"--group={name}" for name in ("test", "lint", "docs", "examples")),
]


def resolve(python: str, place: Path) -> tuple[str, dict[str, str]]:
    """Return the Python's version and what pip would install there."""
    subprocess.run([python, "-m", "venv", place], check=True)
    pip = [
        place / "bin" / "python",
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
    ]
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    report = place / "report.json"
    subprocess.run([*pip, "--dry-run", "--ignore-installed", "--report", report, *WHAT], check=True)
    found = json.loads(report.read_text())
    names = {
        re.sub(r"[-_.]+", "-", each["metadata"]["name"]).lower(): each["metadata"]
        for each in found["install"]
    }
    version = found["environment"]["python_version"]
    versions = {name: each["version"] for name, each in names.items() if name != "runslot"}
    return version, {**versions, "pip": found["pip_version"]}


def lines(resolved: dict[str, dict[str, str]]) -> list[str]:
    """Return `name==version` lines, with a marker where versions differ between Pythons."""
    result = []
    for name in sorted(set().union(*resolved.values())):
        groups: list[list[str]] = []  # [first Python, version]
        for python, versions in resolved.items():
            if name in versions and (not groups or groups[-1][1] != versions[name]):
                groups.append([python, versions[name]])
        for number, (first, version) in enumerate(groups):
            limits = [f"python_version >= '{first}'"] if number else []
            limits += (
                [f"python_version < '{groups[number + 1][0]}'"] if number + 1 < len(groups) else []
            )
            result.append(f"{name}=={version}" + ("; " + " and ".join(limits) if limits else ""))
    return result


def main() -> None:
    """Resolve on each Python, oldest first, and write the file."""
    with tempfile.TemporaryDirectory() as place:
        resolved = dict(
            resolve(python, Path(place, str(number))) for number, python in enumerate(sys.argv[1:])
        )
    Path("constraints.txt").write_text("\n".join(lines(resolved)) + "\n")


main()
