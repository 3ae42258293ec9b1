"""PBS as an engine: OpenPBS and PBS Pro, and Torque, which spell some of the same commands
otherwise.
"""
