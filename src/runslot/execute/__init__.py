"""One run on this machine: its keeper, the process it runs in, and the template that forks
functions.
"""
