from rlkit.core.logging import logger  # noqa: F401  where RLKit has it
