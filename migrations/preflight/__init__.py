"""Whether this is a good moment: what a database is asked before anything is applied there."""
