"""One target database: its session, its lock, its journal, and what is checked before work."""
