"""Data through a table in batches: keys, pace, backups and progress."""
