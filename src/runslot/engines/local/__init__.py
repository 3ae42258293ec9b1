"""This machine as an engine: slots held by leases, keepers forked from templates, ends noticed
through pidfds.
"""
