"""What to run: variants, levels and spaces."""
