-- Twelve tenant databases with a few thousand users each; run once, by psql, when the server is new.

CREATE DATABASE tenant_01;
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

\connect postgres
SELECT format('CREATE DATABASE tenant_%s TEMPLATE tenant_01', lpad(n::text, 2, '0'))
FROM generate_series(2, 12) AS n
\gexec
