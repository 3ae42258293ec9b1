"""What runs on a rented machine: its share of the runs, pushes to the bucket, what home asks,
notices, its end.

`python -m runslot.remote.sky DIR TASK`, from the one-file runslot that travels with the experiment.
"""
