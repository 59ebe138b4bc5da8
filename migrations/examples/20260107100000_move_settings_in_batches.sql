-- Name:        move_settings_in_batches
-- Description: What old code has in users.settings moves into user_preferences, a batch at a time.
--
-- The same job as move_settings_to_preferences, for a table that is too large for one transaction.
-- The rows of a batch are locked, so that nothing is written between the copy and the clearing.
-- A preference that is there already wins. Notifications follow in Python: their shape changes.

-- +migrate Data table=users key=id batch=1000 backup=settings keep=30d lock_timeout=2s
INSERT INTO user_preferences (user_id, key, value, source)
SELECT batch.id, setting.key, setting.value, 'old code'
FROM batch
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(batch.settings) WHEN 'object' THEN batch.settings ELSE '{}' END
) AS setting
WHERE setting.key NOT IN ('', 'notifications')
ON CONFLICT ON CONSTRAINT user_preferences_user_key DO NOTHING;

UPDATE users
SET settings = CASE
    WHEN users.settings ? 'notifications'
    THEN jsonb_build_object('notifications', users.settings -> 'notifications')
    ELSE '{}'
END
FROM batch
WHERE users.id = batch.id;

-- +migrate Validate
-- Nobody is missing: every saved key has its preference.
SELECT saved.id
FROM migration_ledger.backup_20260107100000 AS saved
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(saved.settings) WHEN 'object' THEN saved.settings ELSE '{}' END
) AS setting
LEFT JOIN user_preferences AS preference
    ON preference.user_id = saved.id AND preference.key = setting.key
WHERE preference.id IS NULL
  AND setting.key NOT IN ('', 'notifications');

-- +migrate Down restore lock_timeout=2s
-- The saved settings come back first; here `batch` holds the rows of the backup.
DELETE FROM user_preferences
USING batch
WHERE user_preferences.user_id = batch.id
  AND user_preferences.source = 'old code';
