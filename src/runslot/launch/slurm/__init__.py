"""Slurm as an engine: job arrays, submitted and left, whose tasks execute runs as `runslot work` does."""

from runslot.launch.slurm.config import Slurm as Slurm
