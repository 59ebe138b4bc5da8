"""What must be true: decisions, folds and consequences. Pure: no I/O, no clock, no randomness."""
