"""From run directories of every kind to runs and rows: which they are, what they say, and what
changed since."""
