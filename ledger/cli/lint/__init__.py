"""`ledger lint`: what is wrong with migrations, before anything runs."""
