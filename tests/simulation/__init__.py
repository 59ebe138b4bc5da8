"""Whole systems in memory: what takes hours of the clock, in milliseconds."""
