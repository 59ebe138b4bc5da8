-- What data migrations keep and ask inside a tenant database: progress, backups, and the load.
--
-- The tables are made with the journal, and stand in journal.sql, whose rules are those of this file.

-- name: progress
SELECT last_key, rows, batches, total FROM migration_ledger.progress
WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration AND direction OPERATOR(pg_catalog.=) :direction

-- name: progress_moved
-- Prepared, because planning it takes longer than running it, and run in each batch's own transaction
-- with the key, rows, batches, total, that transaction's marker, and the number of our last entry.
-- Without the marker, our lock, or the journal as we have read it, the key is missing, and no row
-- without one is taken.
INSERT INTO migration_ledger.progress
    (target, migration, direction, last_key, rows, batches, total, started_at, moved_at)
VALUES
    (:target, :migration, :direction,
     CASE WHEN coalesce(pg_catalog.current_setting('migration_ledger.transaction', true)
                        OPERATOR(pg_catalog.<>) $5, true) THEN NULL
          WHEN EXISTS (SELECT FROM migration_ledger.journal
                       WHERE target OPERATOR(pg_catalog.=) :target AND seq OPERATOR(pg_catalog.>) $6) THEN NULL
          WHEN pg_catalog.pg_advisory_unlock(:lock_key)
          THEN CASE WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN $1 END END,
     $2, $3, $4, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp())
ON CONFLICT (target, migration, direction) DO UPDATE
SET last_key = excluded.last_key, rows = excluded.rows, batches = excluded.batches,
    total = excluded.total, moved_at = excluded.moved_at

-- name: moved
SELECT migration FROM migration_ledger.progress WHERE target OPERATOR(pg_catalog.=) :target AND direction OPERATOR(pg_catalog.=) 'up'

-- name: progress_over
DELETE FROM migration_ledger.progress WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration

-- name: table_facts
-- A partitioned table's own estimate is none, its leaves' is.
SELECT c.oid::bigint AS oid, c.relkind::pg_catalog.text AS kind,
    pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'p' THEN
        (SELECT pg_catalog.sum(greatest(leaf.reltuples, 0))::bigint
         FROM pg_catalog.pg_partition_tree(c.oid) AS part
             JOIN pg_catalog.pg_class AS leaf ON leaf.oid OPERATOR(pg_catalog.=) part.relid
         WHERE part.isleaf)
    ELSE c.reltuples::bigint END AS estimate
FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=)
    coalesce(pg_catalog.to_regclass(:exactly), pg_catalog.to_regclass(:table))

-- name: columns
SELECT a.attname::pg_catalog.text AS name, a.attnotnull AS required,
    pg_catalog.format('%I.%I', n.nspname, t.typname) AS type,
    pg_catalog.format_type(t.oid, NULL) AS type_called,
    -- Why it could not be written back; asked as whoever restores.
    CASE WHEN a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char" THEN 'it is generated'
        WHEN a.attidentity OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN 'it is an identity, GENERATED ALWAYS'
        WHEN NOT pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
        THEN 'this user may not UPDATE it' END AS fixed,
    -- What `to_jsonb` does not turn into one text that the type reads again.
    t.typcategory OPERATOR(pg_catalog.=) ANY ('{A,C}'::pg_catalog."char"[])
        OR t.oid OPERATOR(pg_catalog.=) 'pg_catalog.jsonb'::pg_catalog.regtype AS nested
FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
WHERE a.attrelid OPERATOR(pg_catalog.=) :oid::pg_catalog.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped

-- name: unique_indexes
-- Whole, valid, plain B-tree indexes, with their columns in order, all ascending or all descending.
SELECT ARRAY(SELECT a.attname::pg_catalog.text
             FROM pg_catalog.unnest(x.indkey::smallint[]) WITH ORDINALITY AS part (attnum, place)
                 JOIN pg_catalog.pg_attribute AS a
                     ON a.attrelid OPERATOR(pg_catalog.=) x.indrelid
                     AND a.attnum OPERATOR(pg_catalog.=) part.attnum
             WHERE part.place OPERATOR(pg_catalog.<=) x.indnkeyatts ORDER BY part.place) AS columns
FROM pg_catalog.pg_index AS x
    JOIN pg_catalog.pg_class AS i ON i.oid OPERATOR(pg_catalog.=) x.indexrelid
    JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) i.relam
WHERE x.indrelid OPERATOR(pg_catalog.=) :oid::pg_catalog.oid AND x.indisunique AND x.indisvalid
    AND m.amname OPERATOR(pg_catalog.=) 'btree'
    AND x.indpred IS NULL AND x.indexprs IS NULL
    AND (SELECT pg_catalog.count(DISTINCT option OPERATOR(pg_catalog.&) 3::smallint)
         FROM pg_catalog.unnest(x.indoption::smallint[]) AS option) OPERATOR(pg_catalog.=) 1

-- name: lag
-- A standby that shows no state is hidden from this user, not idle.
SELECT coalesce(pg_catalog.max(pg_catalog.date_part('epoch', replay_lag)), 0) AS seconds,
    coalesce(pg_catalog.max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)), 0)::bigint
        AS bytes,
    pg_catalog.count(*) FILTER (WHERE state IS NULL) AS hidden
FROM pg_catalog.pg_stat_replication

-- name: active
-- Of another role's session even the kind is hidden: the right to see is asked for itself.
SELECT pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) ANY ('{active,fastpath function call}'::pg_catalog.text[])) AS active,
    NOT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS hidden
FROM pg_catalog.pg_stat_activity
WHERE backend_type OPERATOR(pg_catalog.=) 'client backend'
    AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()

-- name: backup_made
INSERT INTO migration_ledger.backup (target, migration, name, source, columns, made_at)
VALUES (:target, :migration, :name, :source, :columns, pg_catalog.clock_timestamp())
ON CONFLICT (target, migration) DO NOTHING

-- name: backup_kept
UPDATE migration_ledger.backup
SET keep_until = pg_catalog.clock_timestamp()
        OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => :keep_s), rows = :rows
WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration

-- name: backup_stored_in
SELECT name::pg_catalog.text FROM migration_ledger.backup
WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration

-- name: backup_going
-- No table has this name, so that the backup is none from here on; its rows go afterwards, some at a time.
UPDATE migration_ledger.backup SET name = 'gone'
WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration

-- name: backups_gone
DELETE FROM migration_ledger.backup
WHERE target OPERATOR(pg_catalog.=) :target AND name OPERATOR(pg_catalog.=) 'gone'

-- name: saved_swept
DELETE FROM migration_ledger.saved WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
    SELECT s.ctid FROM migration_ledger.backup AS b
        JOIN migration_ledger.saved AS s ON s.target OPERATOR(pg_catalog.=) b.target
            AND s.migration OPERATOR(pg_catalog.=) b.migration
    WHERE b.target OPERATOR(pg_catalog.=) :target AND b.name OPERATOR(pg_catalog.=) 'gone'
    LIMIT 10000))

-- name: saved_forgotten
DELETE FROM migration_ledger.saved
WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration

-- name: backup_forgotten
DELETE FROM migration_ledger.backup WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration

-- name: backups
SELECT b.migration, b.name::pg_catalog.text AS name, b.source, b.columns, b.made_at, b.keep_until,
    b.keep_until OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() AS due,
    -- Of the table for all, its share by rows.
    CASE WHEN b.name OPERATOR(pg_catalog.=) 'saved' THEN (pg_catalog.pg_total_relation_size(c.oid)
            OPERATOR(pg_catalog.*) coalesce(b.rows OPERATOR(pg_catalog./) GREATEST((
                SELECT pg_catalog.sum(o.rows) FROM migration_ledger.backup AS o
                WHERE o.name OPERATOR(pg_catalog.=) 'saved'), 1::pg_catalog.numeric),
                1::pg_catalog.numeric))::bigint
        ELSE pg_catalog.pg_total_relation_size(c.oid) END AS bytes, b.rows
FROM migration_ledger.backup AS b
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=)
        pg_catalog.to_regclass(pg_catalog.format('migration_ledger.%I', b.name))
WHERE b.target OPERATOR(pg_catalog.=) :target ORDER BY b.made_at, b.migration

-- name: around
-- What of the database has a say in the table that a data migration makes here: whose it is to be, and
-- which publications would send it to subscribers, who do not have it; and which tables a journal lacks
-- that was made before they were made with it.
SELECT (SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(n.nspowner))
        FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname OPERATOR(pg_catalog.=) 'migration_ledger'
            AND pg_catalog.pg_get_userbyid(n.nspowner) OPERATOR(pg_catalog.<>) session_user) AS owner,
    (:default_grants) AS default_grants, (:event_triggers) AS event_triggers,
    (:publications) AS publications,
    ARRAY(SELECT made.name FROM pg_catalog.unnest(
            '{migration_ledger.progress,migration_ledger.backup,migration_ledger.saved}'::pg_catalog.text[])
            AS made (name)
        WHERE pg_catalog.to_regclass(made.name) IS NULL) AS missing

-- name: emptied
-- Whether a backup that is not logged has nothing of what was saved: a crash of the server, or a
-- failover, empties it.
SELECT c.relpersistence OPERATOR(pg_catalog.=) 'u'::pg_catalog."char" AND NOT EXISTS (SELECT FROM :table)
    AND (EXISTS (SELECT FROM migration_ledger.backup
                 WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration
                     AND rows OPERATOR(pg_catalog.>) 0)
        OR EXISTS (SELECT FROM migration_ledger.progress
                   WHERE target OPERATOR(pg_catalog.=) :target AND migration OPERATOR(pg_catalog.=) :migration
                       AND direction OPERATOR(pg_catalog.=) 'up' AND rows OPERATOR(pg_catalog.>) 0))
FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(:called)
