"""What all batch systems have in common: runs handed over as job arrays, whose tasks execute them
as `work` does.

An engine of one adds its commands (`cluster`), what they print (`queue`), its script, and its
record (`config`).
"""
