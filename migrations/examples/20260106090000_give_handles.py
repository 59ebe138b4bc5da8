# Name:        give_handles
# Description: A handle for every user, made from the name in the address of their e-mail.
#
# Taking accents off letters and keeping names apart is a loop in Python and a puzzle in SQL. The
# rows come through a cursor and go back with COPY, so the table may be larger than memory. It is
# all one transaction, under the same lock and with the same journal as every other migration.

# +migrate Up lock_timeout=2s statement_timeout=10min
# +migrate Down lock_timeout=2s

import re
import unicodedata

ROWS = 1_000
"""Handles that are sent at once."""


async def up(conn):
    await conn.execute("""
        CREATE TABLE handles (
            user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
            handle  text NOT NULL CONSTRAINT handles_handle UNIQUE
        );
        COMMENT ON TABLE handles IS 'What users are called in addresses of pages';
    """)
    taken, rows = set(), []
    async for user in conn.cursor("SELECT id, email FROM users ORDER BY id"):
        rows.append((user["id"], handle_of(user["email"], taken)))
        if len(rows) == ROWS:
            await conn.copy_records_to_table("handles", records=rows)
            rows.clear()
    await conn.copy_records_to_table("handles", records=rows)


async def down(conn):
    await conn.execute("DROP TABLE handles")


async def verify(conn):
    return await conn.fetchval("""
        SELECT NOT EXISTS (
            SELECT FROM users LEFT JOIN handles ON handles.user_id = users.id
            WHERE handles.user_id IS NULL
        )
    """)


def handle_of(email, taken):
    """Letters and digits of the part before the @; a number behind it where that is taken."""
    plain = unicodedata.normalize("NFKD", email.partition("@")[0]).encode("ascii", "ignore")
    name = re.sub(r"[^a-z0-9]+", "-", plain.decode().lower()).strip("-") or "user"
    number = 1
    while (handle := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    taken.add(handle)
    return handle
