"""Commands about one database, without a ledger."""
