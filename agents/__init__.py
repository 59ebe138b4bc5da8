"""The agents: take commands from the bus, work on one database each, and report what happened."""
