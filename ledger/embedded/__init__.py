"""Real servers from packages, for `ledger dev`, the demo and the tests; never for production."""
