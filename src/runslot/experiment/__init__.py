"""What was asked and what happened: records, the run directory, the journal, provenance."""
