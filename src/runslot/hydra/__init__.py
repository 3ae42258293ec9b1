"""Hydra's multiruns as experiments: `hydra_plugins` comes here, and nobody else of runslot."""
