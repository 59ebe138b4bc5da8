"""`ledger test`: migrations are rehearsed where nothing can be lost."""
