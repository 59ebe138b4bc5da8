"""Running what is decided: in one transaction, statement by statement, by code or by psql."""
