"""runslot: launch, pack, watch and compare many training runs.

The public names are loaded when they are first used, so that `import runslot` costs nothing beside a training script.
"""

__version__ = "0.1.0"
