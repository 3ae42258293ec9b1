"""Property tests of variants: no deadline, since a shared machine may pause any example."""

from hypothesis import settings

settings.register_profile("variants", deadline=None)
settings.load_profile("variants")
