"""The fleet of the demo: forty customers' databases on one server, as a team would find them.

All have the same `users` table with 2,000 to 4,000 rows. Each database belongs to a role of its
own; one login is a member of that role, migrates this database and gets into no other. In six of
them people have registered twice, once as `ada@…` and once as `Ada@…`: nobody knows that yet.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import yaml

NAMES = (
    "acme", "arbor", "aspen", "atlas", "birch", "bolt", "cedar", "cobalt",
    "comet", "copper", "coral", "delta", "ember", "falcon", "fjord", "garnet",
    "glacier", "harbor", "hazel", "indigo", "iris", "juniper", "kestrel", "larch",
    "lotus", "maple", "meadow", "nimbus", "onyx", "opal", "orchid", "pebble",
    "quartz", "raven", "ridge", "saffron", "summit", "tundra", "willow", "zephyr",
)  # fmt: skip
TWICE = ("cobalt", "ember", "harbor", "lotus", "onyx", "summit")
"""Where the data is not what the second release expects; never the canary."""
TEMPLATE = "tenant_template"
MOST_ROWS = 4000
MAKERS = 4
"""Databases made at once: most of it is waiting for the disk."""

CREATE_ROLES = """
    CREATE ROLE "{owner}" NOLOGIN;
    CREATE ROLE "{migrator}" LOGIN PASSWORD '{password}' IN ROLE "{owner}",
        pg_read_all_stats
"""
# Who is in the way, and since when, is seen by the last one: preflight asks that.
CREATE_USERS = """
    CREATE TABLE users (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        email       text  NOT NULL UNIQUE,
        settings    jsonb NOT NULL DEFAULT '{}',
        first_name  text  NOT NULL,
        last_name   text  NOT NULL,
        address     text,
        city        text,
        state       text,
        postal_code text,
        country     text
    );
    INSERT INTO users (
        email, settings, first_name, last_name, address, city, state, postal_code, country
    )
    SELECT
        format('%s.%s%s@example.com', lower(first), lower(last), n),
        jsonb_build_object(
            'theme', (ARRAY['light', 'dark', 'system'])[1 + n % 3],
            'language', (ARRAY['en', 'de', 'fr', 'es'])[1 + n % 4],
            'notifications', n % 2 = 0
        ),
        first, last,
        CASE WHEN n % 7 <> 0 THEN format('%s Main Street', n) END,
        CASE WHEN n % 7 <> 0 THEN (ARRAY['Zürich', 'Lyon', 'Austin'])[1 + n % 3] END,
        CASE WHEN n % 7 <> 0 AND n % 3 = 2 THEN 'TX' END,
        CASE WHEN n % 7 <> 0 THEN lpad((n * 37 % 100000)::text, 5, '0') END,
        CASE WHEN n % 7 <> 0 THEN (ARRAY['CH', 'FR', 'US'])[1 + n % 3] END
    FROM generate_series(1, 4000) AS n,
        LATERAL (SELECT
            (ARRAY['Ada', 'Grace', 'Edsger', 'Barbara', 'Tony'])[1 + n % 5] AS first,
            (ARRAY['Lovelace', 'Hopper', 'Dijkstra', 'Liskov', 'Hoare', 'Knuth'])[1 + n % 6] AS last
        ) AS person;
    -- Whoever owns a copy of this database owns the table in it.
    ALTER TABLE users OWNER TO pg_database_owner;
"""
CREATE_TEMPLATE = f"CREATE DATABASE {TEMPLATE}"
CREATE_TENANT = f'CREATE DATABASE "{{name}}" TEMPLATE {TEMPLATE} OWNER "{{owner}}"'
CLOSE = 'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC'
"""Else every login of the server gets in."""
BY_HAND = "CREATE INDEX users_city ON users (city)"
KEEP_SOME = "DELETE FROM users WHERE id > $1"
REGISTER_TWICE = """
    INSERT INTO users (email, first_name, last_name)
    SELECT initcap(email), first_name, last_name FROM users WHERE id IN (7, 77, 777)
"""

Progress = Callable[[int, int], None]
"""Told how many of how many databases there are."""


def customers(number: int) -> tuple[str, ...]:
    """So many of them, at least all of `TWICE` and the canary."""
    others = [name for name in NAMES if name not in TWICE]
    kept = {*TWICE, *others[: max(1, number - len(TWICE))]}
    return tuple(name for name in NAMES if name in kept)


def owner_of(customer: str) -> str:
    """The role that a customer's database and all in it belong to; nobody logs in as it."""
    return f"{customer}_owner"


def migrator_of(customer: str) -> str:
    """The login that migrates one customer's database, and reaches no other."""
    return f"{customer}_migrator"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The server of the tenants (a superuser's connection string) and the demo's folder."""

    url: str
    folder: Path
    names: tuple[str, ...] = NAMES

    async def make(self, progress: Progress) -> None:
        """Make roles, databases, the passwords' files and `fleet.yaml`."""
        (self.folder / "secrets").mkdir(mode=0o700)
        await self._run("postgres", CREATE_TEMPLATE)
        await self._run(TEMPLATE, CREATE_USERS)
        waiting, made = iter(enumerate(self.names)), count(1)

        async def some() -> None:
            for number, name in waiting:
                await self._make_one(name)
                await self._vary(name, MOST_ROWS - 50 * (number * 17 % len(self.names)))
                progress(next(made), len(self.names))

        await asyncio.gather(*(some() for _ in range(MAKERS)))
        self._write_fleet()

    @contextmanager
    def forgotten_session(self, name: str) -> Iterator[None]:
        """Somebody has written to `users` there, and left the transaction open, for the block."""
        with asyncio.Runner() as runner:
            session = runner.run(self._forget(name))
            try:
                yield
            finally:
                runner.run(session.close())

    async def _forget(self, name: str) -> asyncpg.Connection:
        shown = {"application_name": "support"}
        session = await asyncpg.connect(self._url_of(name), server_settings=shown)
        await session.execute("BEGIN; UPDATE users SET city = city WHERE id = 1")
        return session

    def change_by_hand(self, name: str) -> None:
        """What somebody in a hurry did there once."""
        asyncio.run(self._run(name, BY_HAND))

    async def _make_one(self, name: str) -> None:
        """The roles of a customer, the database, and the password where agents read it."""
        password = secrets.token_urlsafe(16)
        owner, migrator = owner_of(name), migrator_of(name)
        roles = CREATE_ROLES.format(owner=owner, migrator=migrator, password=password)
        await self._run("postgres", roles)
        await self._run("postgres", CREATE_TENANT.format(name=name, owner=owner))
        await self._run("postgres", CLOSE.format(name=name))
        file = self.folder / "secrets" / name
        file.touch(mode=0o600)
        file.write_text(f"{password}\n", encoding="utf-8")

    async def _vary(self, name: str, rows: int) -> None:
        connection = await asyncpg.connect(self._url_of(name))
        try:
            await connection.execute(KEEP_SOME, rows)
            if name in TWICE:
                await connection.execute(REGISTER_TWICE)
        finally:
            await connection.close()

    async def _run(self, database: str, sql: str) -> None:
        connection = await asyncpg.connect(self._url_of(database))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def _url_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def _write_fleet(self) -> None:
        place = urlsplit(self.url)
        common = {
            "host": place.hostname,
            "port": place.port,
            "password": "file:{database}",
        }
        databases = [
            {
                "database": name,
                "user": migrator_of(name),
                "role": owner_of(name),
                "labels": {
                    "tier": "gold" if number % 5 == 0 else "silver",
                    "region": "eu" if number % 2 else "us",
                },
            }
            for number, name in enumerate(self.names)
        ]
        text = yaml.safe_dump(
            {"pools": {"default": common}, "databases": databases},
            sort_keys=False,
            default_flow_style=None,
        )
        (self.folder / "fleet.yaml").write_text(text, encoding="utf-8")
