"""The store's statements, by their names in `queries.sql`."""

from __future__ import annotations

from migrations.sql.named_statements import named_statements

QUERIES = named_statements("ledger.store", "queries.sql", commented=True)
"""Every statement by its name, its comment included: who looks at the server sees what it is."""
