"""What PostgreSQL 18 says to statements inside a transaction block: SQLSTATE 25001, or not.

A unit test compares the classifier with these lists; an integration test compares the lists with a
live server, so that both stay true.
"""

from __future__ import annotations

PREPARATION = """
    CREATE TABLE t (a int);
    CREATE INDEX t_a ON t (a);
    CREATE INDEX t_b ON t (a);
    CLUSTER t USING t_a;
    CREATE TABLE parted (a int) PARTITION BY LIST (a);
    CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);
    CREATE MATERIALIZED VIEW m AS SELECT 1 AS one;
    CREATE UNIQUE INDEX m_one ON m (one);
    CREATE TYPE mood AS ENUM ('calm');
"""

ALLOWED_INSIDE = (
    "ANALYZE t",
    "CLUSTER t",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "REFRESH MATERIALIZED VIEW m",
    "ALTER TABLE parted DETACH PARTITION part",
    "TRUNCATE t",
    "CHECKPOINT",
    "ALTER TYPE mood ADD VALUE 'happy'",
    "CREATE INDEX t_c ON t (a)",
    "DROP INDEX t_b",
    "REINDEX TABLE t",
    "REINDEX (CONCURRENTLY false) TABLE t",
    "REINDEX INDEX t_a",
    "DISCARD PLANS",
    "SET LOCAL work_mem = '1MB'",
    "LOCK TABLE t",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
)

REFUSED_INSIDE_AND_RUN_OUTSIDE = (
    "CREATE INDEX CONCURRENTLY t_d ON t (a)",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_e ON t (a)",
    "DROP INDEX CONCURRENTLY t_b",
    "REINDEX SCHEMA public",
    "REINDEX DATABASE",
    "REINDEX SYSTEM",
    "VACUUM",
    "VACUUM t",
    "VACUUM (FULL, ANALYZE) t",
    "CLUSTER",
)

REFUSED_INSIDE_AND_BY_US = (
    "REINDEX INDEX CONCURRENTLY t_a",
    "REINDEX (CONCURRENTLY) TABLE t",
    "CREATE DATABASE x",
    "DROP DATABASE x",
    "ALTER DATABASE postgres SET TABLESPACE pg_default",
    "CREATE TABLESPACE x LOCATION '/x'",
    "DROP TABLESPACE x",
    "ALTER SYSTEM SET work_mem = '4MB'",
    "ALTER TABLE parted DETACH PARTITION part CONCURRENTLY",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p",
    "DISCARD ALL",
    "COMMIT PREPARED 'x'",
)
