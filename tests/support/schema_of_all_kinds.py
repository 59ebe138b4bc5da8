"""A schema that has an object of every kind that a snapshot knows, on any release since 14."""

from __future__ import annotations

SCHEMA = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE app.pair AS (a integer, b text COLLATE "C");
CREATE DOMAIN app.email AS text NOT NULL DEFAULT 'x' CONSTRAINT has_at CHECK (VALUE ~ '@');
CREATE TYPE app.span AS RANGE (subtype = timestamptz);
CREATE COLLATION app.co (provider = libc, locale = 'C');
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = app, pg_temp
    AS $$BEGIN NEW.at := now(); RETURN NEW; END$$;
CREATE TABLE app.users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email app.email,
    name varchar(20) NOT NULL DEFAULT 'it''s',
    at timestamptz,
    mood app.mood DEFAULT 'ok',
    up text GENERATED ALWAYS AS (upper(name)) STORED,
    tag text CHECK (tag IN ('a', 'b')),
    code varchar(3) CHECK (code IN ('a', 'b'))
);
CREATE TABLE app.posts (
    id serial PRIMARY KEY,
    user_id bigint REFERENCES app.users ON DELETE CASCADE,
    body text
) WITH (fillfactor = 70);
CREATE INDEX posts_user ON app.posts (user_id) WHERE body IS NOT NULL;
CREATE INDEX posts_body ON app.posts (body);
CREATE UNIQUE INDEX users_lower ON app.users (lower(name));
CREATE VIEW app.plain AS SELECT id, name FROM app.users WHERE mood = 'ok';
CREATE VIEW app.joined AS
    SELECT u.id, p.body, (SELECT count(*) FROM app.posts x WHERE x.user_id = u.id) AS n
    FROM app.users u JOIN app.posts p ON p.user_id = u.id;
CREATE VIEW app.grouped AS
    SELECT id, count(*) FROM app.users GROUP BY id HAVING count(*) > 1 ORDER BY id;
CREATE VIEW app.both_ids AS SELECT id FROM app.users UNION SELECT id FROM app.posts;
CREATE VIEW app.named AS WITH c AS (SELECT id FROM app.users) SELECT id FROM c;
CREATE VIEW app.posting AS SELECT id, name FROM app.users AS u
    WHERE EXISTS (SELECT 1 FROM app.posts WHERE user_id = u.id);
CREATE MATERIALIZED VIEW app.kept AS SELECT id FROM app.users WITH NO DATA;
CREATE TRIGGER touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE RULE renamed AS ON DELETE TO app.posts
    DO ALSO UPDATE app.users SET name = 'x' WHERE id = OLD.user_id;
ALTER TABLE app.users ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.users FOR SELECT TO {reader} USING (name = current_user);
GRANT SELECT ON app.users TO {reader};
GRANT ALL ON app.posts TO {reader};
GRANT UPDATE (name) ON app.users TO {reader};
GRANT USAGE ON SCHEMA app TO {reader};
REVOKE EXECUTE ON FUNCTION app.touch() FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO {reader};
CREATE TABLE app.parts (id integer, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE INDEX parts_at ON app.parts (at);
CREATE TABLE app.child (x integer) INHERITS (app.posts);
CREATE SEQUENCE app.numbers INCREMENT 5;
CREATE STATISTICS app.related ON user_id, body FROM app.posts;
CREATE FUNCTION app.add(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC SELECT $1 + $2; END;
CREATE AGGREGATE app.total (integer) (sfunc = app.add, stype = integer, initcond = '0');
CREATE PROCEDURE app.work(INOUT x integer) LANGUAGE plpgsql AS 'BEGIN x := 1; END';
CREATE OPERATOR app.@@@ (leftarg = integer, rightarg = integer, function = app.add);
COMMENT ON TABLE app.users IS 'it "is" é';
COMMENT ON COLUMN app.users.name IS 'a name';
COMMENT ON CONSTRAINT posts_pkey ON app.posts IS 'a key';
"""
"""What a migrating login may make."""

OF_THE_DATABASE = """
CREATE FUNCTION app.heard() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER listening ON ddl_command_end EXECUTE FUNCTION app.heard();
CREATE PUBLICATION news FOR TABLE app.posts;
CREATE TEXT SEARCH CONFIGURATION app.words (COPY = simple);
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {reader};
"""
"""What needs a superuser, or more than a schema."""
