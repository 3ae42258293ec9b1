"""The parts of the engine's benchmark."""
