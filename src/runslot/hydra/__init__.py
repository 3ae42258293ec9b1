"""Hydra's multiruns as experiments: `hydra_plugins` comes here, and jobs for `report`."""

from runslot.hydra.objective import report as report
