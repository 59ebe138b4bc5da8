-- Name:        add_email_verified_at
-- Description: When a user proved to own the address; goes well everywhere.

-- +migrate Up lock_timeout=2s
ALTER TABLE users ADD COLUMN email_verified_at timestamptz;

-- +migrate Down lock_timeout=2s
ALTER TABLE users DROP COLUMN email_verified_at;

-- +migrate Verify
SELECT count(*) = 1
FROM pg_attribute
WHERE attrelid = to_regclass('users') AND attname = 'email_verified_at' AND NOT attisdropped;
