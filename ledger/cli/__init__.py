"""The `ledger` command: it parses, asks, calls a service and shows what came of it."""
