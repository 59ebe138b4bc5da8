"""What a database's schema is: taken as a snapshot, hashed, and compared with another.

    one transaction ── rows ──▶ query ──▶ snapshot ── canonical lines ──▶ fingerprint
                                                            │
                                                        another ──▶ difference ──▶ remedy, as SQL

No row of a table is read, only catalogs.
"""
