"""The modules on the way of `runslot run train.py:train --grid lr=0.1,0.01`: those of which a
function body ran.

Every Python of the launch (launcher, template, keeper, run) reports them by a `sitecustomize` on
PYTHONPATH. What runs at an import alone is not counted: a reader who follows the command does not
open it for that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_PROFILER = '''
"""Write the file of each function as it is first called: a run ends by os._exit, without a word."""
import os, sys, threading

def _start():
    package, report = os.environ["HOUSE_PACKAGE"] + os.sep, os.environ["HOUSE_REPORT"]
    files, is_function = set(), 0x1  # inspect.CO_OPTIMIZED: no body of a module or a class
    def profile(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_flags & is_function and code.co_filename not in files:
            files.add(code.co_filename)
            if code.co_filename.startswith(package):
                with open(report, "a") as handle:
                    handle.write(code.co_filename + "\\n")
    threading.setprofile(profile)
    sys.setprofile(profile)

if "HOUSE_REPORT" in os.environ:
    _start()
'''
_SCRIPT = "def train(variant):\n    return variant['lr']\n"
_TIMEOUT_S = 60


def modules_on_the_way(package: Path) -> list[str]:
    """Run that command with the `package` that is imported here, and return the modules, each
    once.
    """
    with tempfile.TemporaryDirectory(prefix="runslot-house-") as name:
        place = Path(name)
        (place / "profiler").mkdir()
        (place / "locks").mkdir()
        (place / "profiler" / "sitecustomize.py").write_text(_PROFILER)
        (place / "train.py").write_text(_SCRIPT)
        report = place / "report"
        report.touch()
        environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("RUNSLOT_", "XDG_"))
            },
            "PYTHONPATH": os.pathsep.join([str(place / "profiler"), str(package.parent)]),
            "HOME": name,
            "RUNSLOT_ROOT": str(place / "runs"),
            "RUNSLOT_LOCKS": str(place / "locks"),
            "HOUSE_PACKAGE": str(package),
            "HOUSE_REPORT": str(report),
        }
        argv = [sys.executable, "-m", "runslot", "run", "train.py:train", "--grid", "lr=0.1,0.01"]
        subprocess.run(
            argv, cwd=place, env=environment, check=True, capture_output=True, timeout=_TIMEOUT_S
        )
        files = {Path(line).relative_to(package.parent) for line in report.read_text().splitlines()}
    return sorted(".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files)
