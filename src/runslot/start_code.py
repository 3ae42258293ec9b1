"""The code that another Python is started with (`python -c`), so that it has this runslot.

Templates, cold starts, keepers in containers, launches that go on without their terminal and
selftest are started so. What must stay true: this runslot is found before whatever a directory or
an environment has under its name, and the started Python imports no more than it says.
"""

from __future__ import annotations

import os

PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
"""The directory, or the one-file archive, in which this runslot lies."""


def start_code(
    module: str,
    function: str,
    *arguments: object,
    package: str = PACKAGE,
    only_ours: bool = False,
    exits: bool = False,
) -> str:
    """Return code that calls a function of `runslot.<module>`, found in `package`.

    With `only_ours` the current directory, which `-c` puts first on the path, is not looked into: a
    file there may have the name of a standard module. With `exits` what the function returns is the
    exit status.
    """
    enter = f"sys.path[0] = {package!r}" if only_ours else f"sys.path.insert(0, {package!r})"
    call = f"{function}({', '.join(map(repr, arguments))})"
    call = f"sys.exit({call})" if exits else call
    return f"import sys; {enter}; from runslot.{module} import {function}; {call}"
