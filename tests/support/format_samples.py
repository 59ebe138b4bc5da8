"""One folder for each format, each with the same: a table, a function with a body, an index."""

from __future__ import annotations

import hashlib
from pathlib import Path

TABLE = "CREATE TABLE colours (id int PRIMARY KEY, name text NOT NULL);\n"
FUNCTION = """\
CREATE FUNCTION shade(colour text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'dark ' || colour; -- a semicolon; in a body
END;
$$"""
INDEX = "CREATE INDEX CONCURRENTLY colours_name ON colours (name);\n"
WRAPPED = f"BEGIN;\n{TABLE}COMMIT;\n"
TERN = "---- create above / drop below ----"


def hash_of(previous: str, text: str) -> str:
    """The hash that graphile-migrate gives a text behind the one with the hash `previous`."""
    before = "" if previous == "-" else previous
    hashed = f"{before}\n{text.strip()}".strip() + "\n"
    return f"sha1:{hashlib.sha1(hashed.encode(), usedforsecurity=False).hexdigest()}"


def committed(previous: str, text: str) -> str:
    """A text as graphile-migrate commits it."""
    return f"--! Previous: {previous}\n--! Hash: {hash_of(previous, text)}\n\n{text.strip()}\n"


TABLE_HASH = hash_of("-", WRAPPED)
SHADE_HASH = hash_of(TABLE_HASH, FUNCTION)

FOLDERS = {
    "goose": {
        "00001_table.sql": f"-- +goose Up\n{WRAPPED}\n-- +goose Down\nDROP TABLE colours;\n",
        "00002_shade.sql": (
            f"-- +goose Up\n-- +goose StatementBegin\n{FUNCTION}\n-- +goose StatementEnd\n"
            "-- +goose Down\nDROP FUNCTION shade;\n"
        ),
        "00010_index.sql": (
            f"-- +goose NO TRANSACTION\n-- +goose Up\n{INDEX}"
            "-- +goose Down\nDROP INDEX CONCURRENTLY colours_name;\n"
        ),
    },
    "dbmate": {
        "20230101000000_table.sql": f"--migrate:up\n{TABLE}\n--migrate:down\nDROP TABLE colours;\n",
        "20230102000000_shade.sql": (
            f"-- migrate:up\n{FUNCTION}\n\n-- migrate:down\nDROP FUNCTION shade\n"
        ),
        "20230103000000_index.sql": (
            f"-- migrate:up transaction:false\n{INDEX}"
            "-- migrate:down transaction:false\nDROP INDEX CONCURRENTLY colours_name;\n"
        ),
    },
    "golang-migrate": {
        "1_table.up.sql": WRAPPED,
        "1_table.down.sql": "DROP TABLE colours",
        "2_shade.up.sql": FUNCTION,
        "2_shade.down.sql": "DROP FUNCTION shade;",
        "10_index.up.sql": f"SELECT 1;\n{INDEX}",
        "10_index.down.sql": "DROP INDEX colours_name;",
    },
    "flyway": {
        "V1__table.sql": TABLE,
        "U1__table.sql": "DROP TABLE colours;",
        "V1.2__shade.sql": FUNCTION,
        "U1.2__shade.sql": "DROP FUNCTION shade;",
        "V1_10__index.sql": INDEX,
        "U1_10__index.sql": "DROP INDEX CONCURRENTLY colours_name;",
    },
    "sqitch": {
        "sqitch.plan": (
            "%syntax-version=1.0.0\n%project=paint\n\n"
            "table 2023-01-01T00:00:00Z A <a@b.c>\n"
            "shade [table] 2023-01-02T00:00:00Z A <a@b.c>\n"
            "index [table] 2023-01-03T00:00:00Z A <a@b.c>\n"
        ),
        "deploy/table.sql": WRAPPED,
        "revert/table.sql": "BEGIN;\nDROP TABLE colours;\nCOMMIT;\n",
        "verify/table.sql": "BEGIN;\nINSERT INTO colours VALUES (1, 'red');\nROLLBACK;\n",
        "deploy/shade.sql": FUNCTION,
        "revert/shade.sql": "DROP FUNCTION shade;",
        "deploy/index.sql": INDEX,
        "revert/index.sql": "DROP INDEX CONCURRENTLY colours_name;",
        "verify/index.sql": "SELECT 1 / count(*) FROM pg_indexes WHERE indexname = 'colours_name';",
    },
    "sql-migrate": {
        "1_table.sql": (
            f"-- +migrate Up\n{TABLE}-- +migrate Down\nDROP TABLE colours;\n"
            "-- +migrate Verify\nSELECT to_regclass('colours') IS NOT NULL;\n"
        ),
        "2_shade.sql": (
            f"-- +migrate Up\n-- +migrate StatementBegin\n{FUNCTION};\n-- +migrate StatementEnd\n"
            "-- +migrate Down\nDROP FUNCTION shade;\n"
        ),
        "10_index.sql": (
            f"-- +migrate Up notransaction\n{INDEX}"
            "-- +migrate Down notransaction\nDROP INDEX CONCURRENTLY colours_name;\n"
        ),
    },
    "graphile-migrate": {
        "committed/000001-table.sql": committed("-", WRAPPED),
        "committed/000002-shade.sql": committed(TABLE_HASH, FUNCTION),
        "committed/000010-index.sql": committed(SHADE_HASH, f"--! no-transaction\n{INDEX}"),
    },
    "node-pg-migrate": {
        "1700000000000_table.sql": (
            f"-- Up Migration\n{TABLE}\n-- Down Migration\nDROP TABLE colours;\n"
        ),
        "1700000000001_shade.sql": (
            f"-- Up Migration\n{FUNCTION};\n-- Down Migration\nDROP FUNCTION shade;\n"
        ),
        "1700000000010_index.sql": (
            f"-- Up Migration\n{INDEX}\n-- Down Migration\nDROP INDEX colours_name;\n"
        ),
    },
    "tern": {
        "001_table.sql": f"{TABLE}\n{TERN}\nDROP TABLE colours;\n",
        "002_shade.sql": f"{FUNCTION};\n{TERN}\nDROP FUNCTION shade;\n",
        "010_index.sql": (
            f"---- tern: disable-tx ----\n{INDEX}\n{TERN}\n---- tern: disable-tx ----\n"
            "DROP INDEX CONCURRENTLY colours_name;\n"
        ),
    },
    "play": {
        "1.sql": f"# Colours\n\n# --- !Ups\n{TABLE}\n# --- !Downs\nDROP TABLE colours;\n",
        "2.sql": (f"-- !Ups\n{FUNCTION.replace(';', ';;')};\n-- !Downs\nDROP FUNCTION shade;\n"),
        "10.sql": f"# --- !Ups\n{INDEX}\n# --- !Downs\nDROP INDEX colours_name;\n",
    },
    "plain": {
        "20230101000000_table/up.sql": WRAPPED,
        "20230101000000_table/down.sql": "DROP TABLE colours;",
        "20230102000000_shade.up.sql": FUNCTION,
        "20230102000000_shade.down.sql": "DROP FUNCTION shade;",
        "20230103000000_index.up.sql": f"-- no-transaction\n{INDEX}",
        "20230103000000_index.down.sql": "DROP INDEX colours_name;",
    },
}


def written(path: Path, files: dict[str, str]) -> Path:
    """Write these files below `path`, which is returned."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path
