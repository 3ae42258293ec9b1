"""What is drawn: choices, groups of runs, curves, charts, as frames and plain records.

No drawing library is imported here, and no file read but the journals of `timeline`.
"""
