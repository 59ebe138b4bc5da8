# Name:        move_notifications
# Description: What is left in users.settings moves too, in Python: its values get a new shape.
#
# The module is given the rows of one batch, locked, and returns what is to be written to them. It
# never holds more than a batch, goes on behind the last committed one after a crash, and runs only
# where the agents' own settings allow Python.

# +migrate Data table=users key=id columns=settings batch=1000 backup=settings keep=30d
# +migrate Down restore

import json

VALIDATE = "SELECT id FROM users WHERE settings <> '{}'"

INSERT = """
    INSERT INTO user_preferences (user_id, key, value, source)
    VALUES ($1, 'channels', $2, 'notifications')
    ON CONFLICT ON CONSTRAINT user_preferences_user_key DO NOTHING
"""


async def transform(rows, conn):
    settings = {row["id"]: json.loads(row["settings"]) for row in rows}
    await conn.executemany(
        INSERT,
        [
            (user, json.dumps(channels(one["notifications"])))
            for user, one in settings.items()
            if "notifications" in one
        ],
    )
    return [{"id": user, "settings": "{}"} for user in settings]


async def restored(rows, conn):
    await conn.execute(
        "DELETE FROM user_preferences WHERE source = 'notifications' AND user_id = ANY ($1)",
        [row["id"] for row in rows],
    )


def channels(wanted):
    """From one yes or no to a list of the channels that are switched on."""
    return ["mail", "push"] if wanted is True else []
