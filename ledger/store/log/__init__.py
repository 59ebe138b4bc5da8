"""The log: append-only, hash-chained, in PostgreSQL."""
