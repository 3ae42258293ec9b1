"""Which variant next: what a search asks, prunes and races, from what the runs so far have shown.
Pure.
"""
