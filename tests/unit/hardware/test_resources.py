"""What resources refuse."""

from __future__ import annotations

import pytest

from runslot.errors import InvalidInput
from runslot.hardware.resources import Resources


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cpus": 0}, "cpus is 0, but the least is 1"),
        ({"cpus": 1.5}, "cpus must be a whole number, not 1.5"),
        ({"cpus": True}, "cpus must be a whole number"),
        ({"gpus": -1}, "gpus is -1"),
        ({"runs_per_gpu": None}, "runs_per_gpu must be"),
        ({"runs_per_gpu": 2, "gpus": 0}, "ask for a GPU per run"),
        ({"threads": "on"}, "threads is 'on', not one of all, one, cores .did you mean 'one'?"),
        ({"avoid_busy": "gpu"}, "did you mean 'gpus'"),
    ],
)
def test_refused(fields, message):
    with pytest.raises(InvalidInput, match=message):
        Resources(**fields)
