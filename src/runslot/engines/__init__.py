"""The places that runs go to, seen from home: the protocol, the registry by name, a package for
each engine.
"""
