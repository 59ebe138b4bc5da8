-- Name:        add_profile_columns
-- Description: Three columns and a rule for new rows; takes a strong lock for an instant only.
--
-- A constant default does not rewrite the table. NOT VALID leaves the existing rows unread; the next
-- migration validates them without blocking anybody.

-- +migrate Up lock_timeout=2s
ALTER TABLE users
    ADD COLUMN phone      text,
    ADD COLUMN last_login timestamptz,
    ADD COLUMN status     text NOT NULL DEFAULT 'active',
    ADD CONSTRAINT users_status_known
        CHECK (status IN ('active', 'suspended', 'closed')) NOT VALID;

COMMENT ON COLUMN users.status IS 'active, suspended or closed';

-- +migrate Down lock_timeout=2s
ALTER TABLE users
    DROP CONSTRAINT users_status_known,
    DROP COLUMN status,
    DROP COLUMN last_login,
    DROP COLUMN phone;

-- +migrate Verify
SELECT count(*) = 3
FROM pg_attribute
WHERE attrelid = to_regclass('users')
  AND attname IN ('phone', 'last_login', 'status')
  AND NOT attisdropped;
