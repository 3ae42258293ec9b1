"""One launch, whatever the engine: what is asked, its plan, the one loop, and what ends it."""
