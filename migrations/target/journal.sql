-- The journal of migration-ledger inside a tenant database: every statement that reads or writes it.
--
-- One append-only table, few and cheap objects on purpose: installing them is the price of the first
-- contact. A target is a schema of the database, or '' for the database's default. Its last entry
-- holds its epoch, its owner and the head of its hash chain.
--
-- The statements go over the simple protocol where no rows are wanted, so that several make one round
-- trip; `:name` stands for a literal. What a migration's own session runs names few functions, and
-- functions in place of operators: each name is looked up in the catalogs of a fresh session (seen: 0.05
-- to 0.1 ms for a function, 0.1 to 0.2 ms for an operator, which has dozens of namesakes).

-- name: install
-- In the transaction of the first entry, so that there is no journal without one. The lock keeps apart
-- the first contacts of two targets of one database. The operator classes are named, and parallel
-- builds are out, because looking for the default classes and planning for workers took a third of the
-- index (seen: 0.35 of 1.0 ms). A table whose columns are all stored plainly has no TOAST table, which
-- is two of five objects (seen: 0.5 ms); `long_entries` makes it when an entry needs it.
SELECT pg_catalog.pg_advisory_xact_lock(:install_key);
SET LOCAL max_parallel_maintenance_workers = 0;
CREATE SCHEMA IF NOT EXISTS migration_ledger;
CREATE TABLE IF NOT EXISTS migration_ledger.journal (
    target name,
    seq bigint,
    -- Missing when a guard did not hold; see `guarded_head`. The only NOT NULL: since PostgreSQL 18 each
    -- one is an object of its own (seen: 18 of them cost a tenth of installing).
    head text :storage NOT NULL,
    command uuid,
    rollout text :storage,
    -- Empty, as is the direction, for an entry that is about the target: met, visited.
    migration text :storage,
    direction text :storage,
    -- 0: the migration as a whole; n: its statement n is done; -n: statement n is about to run.
    step integer,
    state text :storage,
    up_checksum text :storage,
    down_checksum text :storage,
    statements integer,
    statement text :storage,
    note text :storage,
    failure jsonb :storage,
    reason text :storage,
    -- The database's, the same in all its entries.
    database_uuid uuid,
    owner text :storage,
    epoch_term bigint,
    epoch_position bigint,
    xid xid8,
    finished_at timestamptz,
    duration_ms bigint,
    made_by name
);
-- Who writes an entry has read the one before it: the fence. An index and no constraint, which is an
-- object of its own beside its index, as is the NOT NULL of each column of a primary key (seen: a
-- twentieth of a first contact). No entry has a NULL in one of these columns. Journals made before have
-- a second one, (target, command, migration, direction, step), of which `Target` takes care now.
CREATE UNIQUE INDEX IF NOT EXISTS journal_order ON migration_ledger.journal
    (target pg_catalog.name_ops, seq pg_catalog.int8_ops);
SET LOCAL max_parallel_maintenance_workers TO DEFAULT

-- name: plain_storage
-- As a column's own clause since PostgreSQL 16; journals of older servers have their TOAST table at once.
STORAGE PLAIN

-- name: long_entries
-- Before an entry that may not fit in a page: where there is no TOAST table yet, this makes one.
ALTER TABLE migration_ledger.journal
    ALTER COLUMN statement SET STORAGE EXTENDED,
    ALTER COLUMN note SET STORAGE EXTENDED,
    ALTER COLUMN failure SET STORAGE EXTENDED,
    ALTER COLUMN reason SET STORAGE EXTENDED

-- name: one_uuid
-- Takes our marker away if another target has given the database its UUID meanwhile.
SELECT pg_catalog.set_config('migration_ledger.transaction', '', true)
FROM migration_ledger.journal WHERE database_uuid <> :database_uuid LIMIT 1

-- name: lock
-- The command tag carries the answer: SELECT 1 or SELECT 0. The lock is tried last, and only if the
-- session is direct and the server writable: an attempt behind a pooler must not lock anything. It is
-- taken twice, so that `guarded_head` can give one back to learn that it was held.
SELECT 1 WHERE CASE
    WHEN pg_catalog.int4ne(pg_catalog.pg_backend_pid(), :key_data_pid) OR pg_catalog.pg_is_in_recovery()
    THEN false
    WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN pg_catalog.pg_try_advisory_lock(:lock_key)
    ELSE false END

-- name: lock_as_expected
-- As `lock`, if the database is the one that was registered (the path is explained at `facts`) and its
-- clock agrees with ours, and with what stands behind it in one round trip, where no answer but that of
-- COPY is read: so it fails, by asking for a setting that nobody has, and nothing behind it runs. What
-- is read behind it is read after it: every statement sees what was committed before it, whatever the
-- role's isolation level. CURRENT_TIMESTAMP is no name that is looked up.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT CASE
    WHEN pg_catalog.int4ne(pg_catalog.pg_backend_pid(), :key_data_pid) OR pg_catalog.pg_is_in_recovery()
        OR pg_catalog.textne(
            pg_catalog.split_part(pg_catalog.pg_relation_filepath(1259), '/', -2), :database_oid)
        OR pg_catalog.int8ne(
            (pg_catalog.pg_control_system()).system_identifier, :system_identifier)
        OR pg_catalog.timestamptz_lt(CURRENT_TIMESTAMP, :earliest)
        OR pg_catalog.timestamptz_gt(CURRENT_TIMESTAMP, :latest)
    THEN pg_catalog.current_setting('migration_ledger.not_as_expected')
    WHEN pg_catalog.pg_try_advisory_lock(:lock_key)
    THEN CASE WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN 'locked' END
    ELSE pg_catalog.current_setting('migration_ledger.not_as_expected') END

-- name: lock_with_facts
-- As `lock`, and `facts` beside it, for a database that was never seen. The lock stands first: what
-- stands behind it is answered when it is held. Through COPY, as one round trip.
SELECT CASE
    WHEN pg_catalog.int4ne(pg_catalog.pg_backend_pid(), :key_data_pid) OR pg_catalog.pg_is_in_recovery()
    THEN false
    WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN pg_catalog.pg_try_advisory_lock(:lock_key)
    ELSE false END AS locked,
    pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    (pg_catalog.pg_control_system()).system_identifier AS system_identifier,
    pg_catalog.pg_relation_filepath(1259) AS catalog_path,
    pg_catalog.to_regclass('migration_ledger.journal') IS NOT NULL AS installed,
    CURRENT_TIMESTAMP AS clock

-- name: held
-- Whether the lock is held, without letting go of it.
SELECT CASE WHEN pg_catalog.pg_advisory_unlock(:lock_key)
            THEN pg_catalog.pg_try_advisory_lock(:lock_key) ELSE false END

-- name: facts
-- Who answers. The path of a relation's file names the database's oid (`base/16384/1259`), for a
-- fraction of what a look into pg_database costs.
SELECT pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    (pg_catalog.pg_control_system()).system_identifier AS system_identifier,
    pg_catalog.pg_relation_filepath(1259) AS catalog_path,
    pg_catalog.to_regclass('migration_ledger.journal') IS NOT NULL AS installed,
    CURRENT_TIMESTAMP AS clock

-- name: glance
-- What a look without a lock asks of a database that has a journal, in one question.
SELECT pg_catalog.pg_backend_pid() AS backend_pid,
    pg_catalog.pg_is_in_recovery() AS in_recovery,
    (SELECT (pg_catalog.pg_control_system()).system_identifier) AS system_identifier,
    pg_catalog.pg_relation_filepath(1259) AS catalog_path,
    true AS installed,
    CURRENT_TIMESTAMP AS clock,
    seq, head, command, rollout, migration, direction, step, state,
    up_checksum, down_checksum, statements, note, failure, reason, database_uuid, owner,
    epoch_term, epoch_position, finished_at, duration_ms, made_by
FROM migration_ledger.journal WHERE target = :target

-- name: read
-- One schema's entries among those of others. Unordered: sorting a few entries here is cheaper than a plan with a sort there.
SELECT seq, head, command, rollout, migration, direction, step, state,
    up_checksum, down_checksum, statements, note, failure, reason, database_uuid, owner,
    epoch_term, epoch_position, finished_at, duration_ms, made_by
FROM migration_ledger.journal WHERE target = :target

-- name: database_uuid
-- The UUID belongs to the database: a second target takes over the first one's.
SELECT database_uuid FROM migration_ledger.journal LIMIT 1

-- name: holder
-- One of those who hold these locks, the oldest transaction first. Only of this database: copies of one
-- database have the same object ids. Of another role's session a role without pg_read_all_stats sees
-- NULL in most columns, and of a process of the server everywhere; a lock without a pid is a prepared
-- transaction's, which is found by the lock on its own id. Everything is optional in `Holder`.
SELECT l.pid, a.pid IS NOT NULL AS seen, a.usesysid IS NOT NULL AS has_user,
    a.application_name, a.backend_type, a.state,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.backend_start) AS session_s,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start) AS transaction_s,
    p.gid AS prepared,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - p.prepared) AS prepared_s
FROM pg_catalog.pg_locks AS l
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
    LEFT JOIN pg_catalog.pg_locks AS x ON l.pid IS NULL AND x.pid IS NULL
        AND x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction
    LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction = x.transactionid
WHERE l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_catalog.pg_database
                      WHERE datname = pg_catalog.current_database())
    AND :which
ORDER BY coalesce(a.xact_start, p.prepared), a.pid LIMIT 1

-- name: locks_on_target
l.locktype = 'advisory' AND l.objsubid = 1
    AND l.classid = :lock_high::oid AND l.objid = :lock_low::oid

-- name: locks_on_tables
l.locktype = 'relation' AND l.relation = ANY (SELECT pg_catalog.to_regclass(t)
                                              FROM pg_catalog.unnest($1::text[]) AS t)

-- name: begin
-- Settings of a script before us are undone; the marker lives exactly as long as the transaction.
RESET SESSION AUTHORIZATION;
RESET ROLE;
RESET ALL;
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = :lock_timeout_ms;
SET LOCAL statement_timeout = :statement_timeout_ms;
SET LOCAL migration_ledger.transaction = :marker

-- name: alone
RESET SESSION AUTHORIZATION;
RESET ROLE;
RESET ALL;
SET lock_timeout = :lock_timeout_ms;
SET statement_timeout = :statement_timeout_ms

-- name: settle
-- Deferred constraints speak while the script's own role and search_path still hold; then ours return.
SET CONSTRAINTS ALL IMMEDIATE;
RESET SESSION AUTHORIZATION;
RESET ROLE;
SET LOCAL search_path TO pg_catalog

-- name: entry
-- Its number is taken only if nobody has written since we read: the fence. So what it must not repeat,
-- a migration's outcome per command for example, stands in what we have read.
INSERT INTO migration_ledger.journal
    (target, seq, head, command, rollout, migration, direction, step, state,
     up_checksum, down_checksum, statements, statement, note, failure, reason,
     database_uuid, owner, epoch_term, epoch_position, xid, finished_at, duration_ms, made_by)
VALUES
    (:target, :seq, :head, :command, :rollout, :migration, :direction, :step, :state,
     :up_checksum, :down_checksum, :statements, :statement, :note, :failure, :reason,
     :database_uuid, :owner, :epoch_term, :epoch_position, pg_catalog.pg_current_xact_id(),
     pg_catalog.clock_timestamp(), :duration_ms, session_user)

-- name: guarded_head
-- In place of an entry's head: there is one only if the guards hold, the marker of our transaction and
-- our lock, and no entry is taken without.
CASE WHEN pg_catalog.texteq(pg_catalog.current_setting('migration_ledger.transaction', true), :marker)
     THEN CASE WHEN pg_catalog.pg_advisory_unlock(:lock_key)
               THEN CASE WHEN pg_catalog.pg_try_advisory_lock(:lock_key) THEN :head END END END

-- name: untouched
-- Before an entry that follows statements of others: they have not written to the journal, nor altered
-- it, by whatever way, a trigger or a computed name. Whoever did holds a lock on it until the transaction
-- ends, and nothing but a rollback, which undoes the deed, gives it back. Reading is no deed, nor is
-- ANALYZE of the whole database. Its own statement, because the entry's own lock is taken before its
-- values are computed. It fails by asking for a setting that nobody has.
SELECT pg_catalog.current_setting('migration_ledger.journal_was_touched')
FROM pg_catalog.pg_lock_status() AS l
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
    AND l.relation = pg_catalog.to_regclass('migration_ledger.journal')
    AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'ShareUpdateExclusiveLock')

-- name: untouched_since_met
-- As `untouched`, where the transaction itself has written this target's first entry, and perhaps made
-- the journal, and so holds locks of its own. It counts changed rows; and the table is as it was when the
-- entry was written: no later row about it in the catalog, and the file that it was made with; or, where
-- it is older, none of the locks that altering it takes.
SELECT pg_catalog.current_setting('migration_ledger.journal_was_touched')
FROM pg_catalog.pg_class AS c
WHERE c.oid = pg_catalog.to_regclass('migration_ledger.journal')
    AND (pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
            + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) > 0
        OR c.relhastriggers OR c.relhasrules OR c.relrowsecurity OR c.relkind <> 'r'
        OR 1 <> (SELECT pg_catalog.count(*) FROM migration_ledger.journal AS j
                 WHERE j.target = :target
                    AND CASE WHEN j.xmin = c.xmin
                        THEN c.cmin::text::int8 <= j.cmin::text::int8
                            AND pg_catalog.pg_relation_filenode(c.oid) = c.oid
                            AND NOT EXISTS (
                                SELECT FROM pg_catalog.pg_attribute AS a
                                WHERE a.attrelid = c.oid AND (a.xmin <> j.xmin
                                    OR a.cmin::text::int8 > j.cmin::text::int8))
                        ELSE NOT EXISTS (
                            SELECT FROM pg_catalog.pg_lock_status() AS l
                            WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
                                AND l.relation = c.oid AND l.mode IN (
                                    'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'
                                )) END))

-- name: index_by_table
-- The index of this name in the schema of the table as the search_path finds it. What another role
-- builds is hidden from a role without pg_read_all_stats, but not that it builds, nor its locks.
SELECT i.indisvalid AS valid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
            WHERE p.index_relid = c.oid OR (p.relid = i.indrelid AND NOT i.indisvalid)
                OR (p.relid IS NULL AND NOT i.indisvalid AND EXISTS (
                    SELECT FROM pg_catalog.pg_locks AS l
                    WHERE l.pid = p.pid AND l.locktype = 'relation' AND l.relation = i.indrelid
                        AND l.database = (SELECT oid FROM pg_catalog.pg_database
                                          WHERE datname = pg_catalog.current_database()))))
        AS building
FROM pg_catalog.pg_class AS t
    JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = :index
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
WHERE t.oid = pg_catalog.to_regclass(:table)

-- name: index_by_name
SELECT i.indisvalid AS valid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
    false AS building
FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
WHERE c.oid = pg_catalog.to_regclass(:name)

-- name: rights
-- For a look that changes nothing: of the user itself, who makes the journal.
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS create_schema,
    coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false)
        AS create_in_target,
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
    (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()) AS tls

-- name: become
-- As migrations do: the only proof on every release, for a membership may be WITH SET FALSE.
SET ROLE :role

-- name: create_in_target
-- Of the role that is set: "$user" in a search_path is that role's schema, too.
SELECT coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false)
