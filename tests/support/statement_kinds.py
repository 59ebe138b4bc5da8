"""Kinds of statements, and tables to run them on: what each does stands in `tests/golden`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden" / "statement-kinds.json"

SETUP = """
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(100), name text, age integer,
    small smallint, amount numeric(8, 2), at timestamp, data json, code char(3),
    CONSTRAINT name_known CHECK (name IS NOT NULL));
ALTER TABLE users ADD CONSTRAINT age_later CHECK (age > 0) NOT VALID;
CREATE INDEX users_email ON users (email);
CREATE UNIQUE INDEX users_age ON users (age);
CREATE TABLE teams (id bigint PRIMARY KEY, owner_id bigint, code integer);
ALTER TABLE teams ADD CONSTRAINT owner_later FOREIGN KEY (owner_id) REFERENCES users NOT VALID;
CREATE TABLE links (id bigint PRIMARY KEY, team_id bigint REFERENCES teams);
CREATE TABLE events (id bigint, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2 (id bigint, at date NOT NULL);
CREATE TABLE events_3 (id bigint, at date NOT NULL,
    CONSTRAINT bounds CHECK (at >= '2027-01-01' AND at < '2028-01-01'));
CREATE TABLE parents (id bigint);
CREATE TABLE children (x integer) INHERITS (parents);
CREATE TABLE others (id bigint);
CREATE UNLOGGED TABLE logs (id bigint);
CREATE VIEW grown AS SELECT id FROM users WHERE small > 17;
CREATE MATERIALIZED VIEW totals AS SELECT id, count(*) FROM users GROUP BY id;
CREATE UNIQUE INDEX totals_id ON totals (id);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a integer, b text);
CREATE DOMAIN posint AS integer;
CREATE TABLE moods (m mood, p posint, q pair);
CREATE SEQUENCE numbers;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touched();
CREATE RULE quiet AS ON DELETE TO others DO INSTEAD NOTHING;
CREATE POLICY own ON users USING (true);
CREATE STATISTICS related ON name, age FROM users;
CREATE TABLE counted (id integer GENERATED ALWAYS AS IDENTITY,
    up integer GENERATED ALWAYS AS (1) STORED);
ALTER TABLE users CLUSTER ON users_email;
"""
"""What is there before; nothing of it is new."""


@dataclass(frozen=True, slots=True)
class StatementKindCase:
    """One kind: the statements of which the last is of it, and what that does to tables."""

    kind: str
    sql: str
    transactional: bool
    locks: Mapping[str, str]
    rewrites: Sequence[str]
    scans: Sequence[str]
    since: int = 14
    """The release that brought it."""
    locks_before_18: Mapping[str, str] | None = None

    def locks_in(self, release: int) -> Mapping[str, str]:
        """The locks in a release such as 14."""
        older = release < 18 and self.locks_before_18 is not None
        return (self.locks_before_18 or {}) if older else self.locks


CASES = tuple(StatementKindCase(**one) for one in json.loads(GOLDEN.read_text(encoding="utf-8")))
