"""A pool of hosts reached by ssh: one schedule over the slots of all of them, no daemon, root or
open port there.
"""

from runslot.engines.ssh.config import SSH

__all__ = ["SSH"]
