-- What data migrations keep and ask inside a tenant database: progress, backups, and the load.
--
-- The tables are made by the first data migration of a database. They hold what is under way and what
-- is still kept, so they are changed and emptied; what happened stands in the journal. Rules of the
-- file: as in journal.sql.

-- name: install
CREATE TABLE IF NOT EXISTS migration_ledger.progress (
    target name,
    migration text,
    direction text,
    -- Missing when a guard did not hold; see `progress_moved`.
    last_key text NOT NULL,
    rows bigint,
    batches bigint,
    total bigint,
    started_at timestamptz,
    moved_at timestamptz,
    CONSTRAINT progress_key PRIMARY KEY (target, migration, direction)
);
CREATE TABLE IF NOT EXISTS migration_ledger.backup (
    target name,
    migration text,
    name name,
    source text,
    columns text,
    made_at timestamptz,
    -- Set when the migration is done; without a period the backup stays until a person drops it.
    keep_until timestamptz,
    rows bigint,
    CONSTRAINT backup_key PRIMARY KEY (target, migration)
)

-- name: progress
SELECT last_key, rows, batches, total FROM migration_ledger.progress
WHERE target = :target AND migration = :migration AND direction = :direction

-- name: progress_moved
-- Prepared, because planning it takes longer than running it, and run in each batch's own transaction
-- with the key, rows, batches, total, that transaction's marker, and the number of our last entry.
-- Without the marker, our lock, or the journal as we have read it, the key is missing, and no row
-- without one is taken.
INSERT INTO migration_ledger.progress
    (target, migration, direction, last_key, rows, batches, total, started_at, moved_at)
VALUES
    (:target, :migration, :direction,
     CASE WHEN pg_catalog.current_setting('migration_ledger.transaction', true) IS DISTINCT FROM $5 THEN NULL
          WHEN EXISTS (SELECT FROM migration_ledger.journal
                       WHERE target = :target AND seq > $6) THEN NULL
          WHEN pg_catalog.pg_advisory_unlock(:lock_key)
          THEN CASE WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN $1 END END,
     $2, $3, $4, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp())
ON CONFLICT ON CONSTRAINT progress_key DO UPDATE
SET last_key = excluded.last_key, rows = excluded.rows, batches = excluded.batches,
    total = excluded.total, moved_at = excluded.moved_at

-- name: moved
SELECT migration FROM migration_ledger.progress WHERE target = :target AND direction = 'up'

-- name: progress_over
DELETE FROM migration_ledger.progress WHERE target = :target AND migration = :migration

-- name: table_facts
-- A partitioned table's own estimate is none, its leaves' is.
SELECT c.oid::bigint AS oid, c.relkind::text AS kind,
    pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    CASE c.relkind WHEN 'p' THEN
        (SELECT sum(greatest(leaf.reltuples, 0))::bigint
         FROM pg_catalog.pg_partition_tree(c.oid) AS part
             JOIN pg_catalog.pg_class AS leaf ON leaf.oid = part.relid WHERE part.isleaf)
    ELSE c.reltuples::bigint END AS estimate
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass(:table)

-- name: columns
SELECT a.attname::text AS name, a.attnotnull AS required,
    pg_catalog.format('%I.%I', n.nspname, t.typname) AS type,
    pg_catalog.format_type(t.oid, NULL) AS type_called,
    -- What `to_jsonb` does not turn into one text that the type reads again.
    t.typcategory IN ('A', 'C') OR t.oid = 'pg_catalog.jsonb'::pg_catalog.regtype AS nested
FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
WHERE a.attrelid = :oid::oid AND a.attnum > 0 AND NOT a.attisdropped

-- name: unique_indexes
-- Whole, valid, plain B-tree indexes, with their columns in order, all ascending or all descending.
SELECT ARRAY(SELECT a.attname::text
             FROM pg_catalog.unnest(x.indkey::int2[]) WITH ORDINALITY AS part (attnum, place)
                 JOIN pg_catalog.pg_attribute AS a
                     ON a.attrelid = x.indrelid AND a.attnum = part.attnum
             WHERE part.place <= x.indnkeyatts ORDER BY part.place) AS columns
FROM pg_catalog.pg_index AS x
    JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_am AS m ON m.oid = i.relam
WHERE x.indrelid = :oid::oid AND x.indisunique AND x.indisvalid AND m.amname = 'btree'
    AND x.indpred IS NULL AND x.indexprs IS NULL
    AND (SELECT count(DISTINCT option & 3)
         FROM pg_catalog.unnest(x.indoption::int2[]) AS option) = 1

-- name: lag
-- A standby that shows no state is hidden from this user, not idle.
SELECT coalesce(max(pg_catalog.date_part('epoch', replay_lag)), 0) AS seconds,
    coalesce(max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)), 0)::bigint
        AS bytes,
    count(*) FILTER (WHERE state IS NULL) AS hidden
FROM pg_catalog.pg_stat_replication

-- name: active
-- Of another role's session even the kind is hidden: the right to see is asked for itself.
SELECT count(*) FILTER (WHERE state IN ('active', 'fastpath function call')) AS active,
    NOT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS hidden
FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()

-- name: backup_made
INSERT INTO migration_ledger.backup (target, migration, name, source, columns, made_at)
VALUES (:target, :migration, :name, :source, :columns, pg_catalog.clock_timestamp())
ON CONFLICT ON CONSTRAINT backup_key DO NOTHING

-- name: backup_kept
UPDATE migration_ledger.backup
SET keep_until = pg_catalog.clock_timestamp() + :keep_s * interval '1 second', rows = :rows
WHERE target = :target AND migration = :migration

-- name: backup_forgotten
DELETE FROM migration_ledger.backup WHERE target = :target AND migration = :migration

-- name: backups
SELECT b.migration, b.name::text AS name, b.source, b.columns, b.made_at, b.keep_until,
    b.keep_until <= pg_catalog.clock_timestamp() AS due,
    pg_catalog.pg_total_relation_size(c.oid) AS bytes, b.rows
FROM migration_ledger.backup AS b
    JOIN pg_catalog.pg_class AS c ON c.oid =
        pg_catalog.to_regclass(pg_catalog.format('migration_ledger.%I', b.name))
WHERE b.target = :target ORDER BY b.made_at, b.migration

-- name: grants
-- Whoever else may read a table, by default privileges for example; NULL is everybody.
SELECT DISTINCT CASE acl.grantee WHEN 0 THEN NULL
    ELSE pg_catalog.pg_get_userbyid(acl.grantee)::text END AS grantee
FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS acl
WHERE c.oid = pg_catalog.to_regclass(:name) AND acl.grantee <> c.relowner
