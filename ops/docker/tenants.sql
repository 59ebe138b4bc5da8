-- Twelve tenant databases with a few thousand users each; run once, by psql, when the server is new.
-- Each has an owner, whom nobody logs in as, and a login of its own that migrates it and nothing else.

\getenv password POSTGRES_PASSWORD

SELECT format('CREATE ROLE owner_tenant_%1$s NOLOGIN', tenant),
    format('CREATE ROLE mig_tenant_%1$s LOGIN PASSWORD %2$L IN ROLE owner_tenant_%1$s', tenant, :'password')
FROM generate_series(1, 12) AS n, LATERAL (SELECT lpad(n::text, 2, '0')) AS named (tenant)
\gexec

CREATE DATABASE tenant_01 OWNER owner_tenant_01;
\connect tenant_01

CREATE TABLE users (
    id bigint PRIMARY KEY,
    email text NOT NULL UNIQUE,
    settings jsonb NOT NULL DEFAULT '{}',
    first_name text NOT NULL,
    last_name text NOT NULL,
    address text,
    city text,
    state text,
    postal_code text,
    country text
);

INSERT INTO users
SELECT
    n,
    format('user%s@example.com', n),
    jsonb_build_object(
        'theme', (ARRAY['light', 'dark', 'system'])[1 + n % 3],
        'language', (ARRAY['en', 'de', 'fr', 'es'])[1 + n % 4],
        'notifications', n % 2 = 0
    ),
    (ARRAY['Ada', 'Grace', 'Edsger', 'Barbara', 'Tony'])[1 + n % 5],
    (ARRAY['Lovelace', 'Hopper', 'Dijkstra', 'Liskov', 'Hoare'])[1 + n % 5],
    format('%s Main Street', n),
    (ARRAY['Zürich', 'Lyon', 'Austin'])[1 + n % 3],
    CASE WHEN n % 3 = 2 THEN 'TX' END,
    lpad((n % 100000)::text, 5, '0'),
    (ARRAY['CH', 'FR', 'US'])[1 + n % 3]
FROM generate_series(1, 3000) AS n;

-- Whoever owns a copy of this database owns the table in it.
ALTER TABLE users OWNER TO pg_database_owner;

\connect postgres
SELECT format('CREATE DATABASE tenant_%1$s TEMPLATE tenant_01 OWNER owner_tenant_%1$s', lpad(n::text, 2, '0'))
FROM generate_series(2, 12) AS n
\gexec

-- Else every login of the server gets into every database.
SELECT format('REVOKE ALL ON DATABASE tenant_%s FROM PUBLIC', lpad(n::text, 2, '0'))
FROM generate_series(1, 12) AS n
\gexec
