"""A port for each slot, and those after it: what several processes of one run meet at, and nobody
else's run uses.

`placement` puts it into the run's environment. Slots of one machine share no core, so that a number
made of a slot's first CPU is nobody else's; where some other program listens there, the next block
is taken. A port is only looked at, not held: the run opens it.
"""

from __future__ import annotations

import _socket  # what the module socket adds costs every keeper a millisecond
import errno
from collections.abc import Sequence

PORT_VARIABLE = "RUNSLOT_PORT"
PORTS_PER_SLOT = 8
"""The port and seven neighbours."""
FIRST_PORT, BLOCKS = 20_000, 1_500
"""Below the range from which the kernel gives ports to connections (32768 on Linux)."""
_TRIES = 20
_STRIDE = 97
"""From one block to the next one that is tried; prime to `BLOCKS`."""


def free_port(pus: Sequence[int]) -> int:
    """Return the first port of a slot that has these logical CPUs; nobody listened there when it
    was looked at.
    """
    block = (min(pus) if pus else 0) % BLOCKS
    for number in range(_TRIES):
        first = FIRST_PORT + (block + number * _STRIDE) % BLOCKS * PORTS_PER_SLOT
        if _is_free(first):
            return first
    return FIRST_PORT + block * PORTS_PER_SLOT


def _is_free(port: int) -> bool:
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        # As servers do: a connection of the run before, which lingers in TIME_WAIT, is in nobody's
        # way.
        probe.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        probe.bind(("", port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    finally:
        probe.close()
    return True
