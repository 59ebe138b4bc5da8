-- Name:        settings_for_old_code
-- Description: Old code still reads users.settings: it is filled again, in batches, while all go on.
--
-- `batch` holds the rows of users that belong to the current batch. Each batch commits by itself
-- with its progress, so that locks are short and a crash costs one batch. The columns named by
-- backup= are saved before a row is touched; without a Down section they are what comes back.

-- +migrate Data table=users key=id batch=1000 backup=settings keep=30d lock_timeout=2s
UPDATE users
SET settings = known.settings || users.settings
FROM batch
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(key, value) AS settings
    FROM user_preferences
    WHERE user_preferences.user_id = batch.id
) AS known
WHERE users.id = batch.id
  AND known.settings IS NOT NULL;

-- +migrate Gate
-- A batch starts only while this is true.
SELECT count(*) < 100 FROM pg_stat_activity WHERE state = 'active';

-- +migrate Validate
-- Rows that come back are rows that must not be there.
SELECT users.id
FROM users
JOIN user_preferences AS preference ON preference.user_id = users.id
WHERE NOT users.settings ? preference.key;
