"""Formats of files: from the bytes of a log or a configuration to rows and values. They know no run
but its files."""
