"""Tells people what is in the log: a process of its own, which nothing waits for."""
