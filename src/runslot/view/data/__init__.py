"""What is drawn: choices, groups of runs, curves, charts, as frames and plain records. Pure; no
drawing library."""
