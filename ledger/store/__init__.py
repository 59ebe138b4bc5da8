"""Where the ledger is kept: the log, the texts, who leads, how far everybody has read."""
