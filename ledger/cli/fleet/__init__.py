"""Commands about the fleet: its databases, its file, checks."""
