"""When each run starts, is tried again, or is stopped: pure decisions."""
