"""The words of migrations: a migration, its version, the work of one attempt; values only."""
