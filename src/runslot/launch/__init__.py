"""How runs get somewhere: the launcher's protocol, the one loop, and a file for each engine."""
