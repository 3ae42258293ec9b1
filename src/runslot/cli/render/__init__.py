"""What the command line shows: tables, the live view of a launch, events as JSON, the end of a
launch.
"""
