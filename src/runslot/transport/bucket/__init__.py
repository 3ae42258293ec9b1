"""Run directories in a bucket: pushed from the machine where they are written, pulled to where they
are looked at.

A share's list (`inventory`) names everything that has arrived; objects never change, so a reader
sees whole states.
"""

from __future__ import annotations

from runslot.transport.bucket.inventory import Inventory, MachineShare
from runslot.transport.bucket.pull import Pulled, pull
from runslot.transport.bucket.push import Pusher, TakenOver
from runslot.transport.bucket.store import Missing, Store, Unreachable, open_store

__all__ = [
    "Inventory",
    "MachineShare",
    "Missing",
    "Pulled",
    "Pusher",
    "Store",
    "TakenOver",
    "Unreachable",
    "open_store",
    "pull",
]
