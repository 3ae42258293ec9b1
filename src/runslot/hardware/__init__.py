"""Where runs may run: topology, resources, slots, affinity codes (pure); probing and leases
(effects).
"""
