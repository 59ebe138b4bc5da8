-- Name:        index_active_users
-- Description: A partial index without blocking writers, and the rule of the last migration proven.
--
-- CREATE INDEX CONCURRENTLY cannot run in a transaction, so this file runs step by step: every
-- statement commits by itself and is recorded, an interrupted index is found and built again. For
-- the same reason VALIDATE stands here: it reads the whole table under a lock that lets others
-- write, and keeps it no longer than needed.

-- +migrate Up lock_timeout=2s
CREATE INDEX CONCURRENTLY users_active_last_login_idx
    ON users (last_login)
    WHERE status = 'active';

ALTER TABLE users VALIDATE CONSTRAINT users_status_known;

-- +migrate Down lock_timeout=2s
-- A constraint cannot be made unproven again, so it is put back as it was.
ALTER TABLE users
    DROP CONSTRAINT users_status_known,
    ADD CONSTRAINT users_status_known
        CHECK (status IN ('active', 'suspended', 'closed')) NOT VALID;

DROP INDEX CONCURRENTLY users_active_last_login_idx;

-- +migrate Verify
SELECT indisvalid
FROM pg_index
WHERE indexrelid = to_regclass('users_active_last_login_idx');

SELECT convalidated
FROM pg_constraint
WHERE conrelid = to_regclass('users') AND conname = 'users_status_known';
