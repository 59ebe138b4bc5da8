"""Commands that set a ledger up and run it."""
