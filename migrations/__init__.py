"""One migration on one PostgreSQL database: formats, loading, planning, locks, journal, running."""
