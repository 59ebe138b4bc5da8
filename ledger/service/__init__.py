"""Use cases: load what the log says, let the domain decide, append what it decided."""
