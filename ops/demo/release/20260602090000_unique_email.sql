-- Name:        unique_email
-- Description: One account per address, however it is written; some tenants' data says otherwise.

-- +migrate Up lock_timeout=2s
CREATE UNIQUE INDEX users_email_lower_key ON users (lower(email));

-- +migrate Down lock_timeout=2s
DROP INDEX users_email_lower_key;

-- +migrate Verify
SELECT indisunique AND indisvalid
FROM pg_index
WHERE indexrelid = to_regclass('users_email_lower_key');
