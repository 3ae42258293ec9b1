"""What speaks with SkyPilot's SDK: a process of its own, which may live in another environment.

`python -m runslot.engines.sky.driver`, one question a process; nothing else here loads the SDK.
"""
