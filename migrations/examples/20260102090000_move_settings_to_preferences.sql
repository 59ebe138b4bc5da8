-- Name:        move_settings_to_preferences
-- Description: Moves the objects in users.settings into user_preferences, with a way back.
--
-- One transaction: the backup, the copy, the emptied column and the checks are seen together or not
-- at all. The backup keeps two columns, not the whole table. A preference that the application has
-- written already wins over the old setting.

-- +migrate Up lock_timeout=2s statement_timeout=10min
CREATE TABLE user_settings_backup (
    user_id  bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    settings jsonb NOT NULL
);

COMMENT ON TABLE user_settings_backup IS 'users.settings as it was before it moved';

INSERT INTO user_settings_backup (user_id, settings)
SELECT id, settings
FROM users
WHERE jsonb_typeof(settings) = 'object'
  AND settings <> '{}'::jsonb
FOR UPDATE;

INSERT INTO user_preferences (user_id, key, value, source)
SELECT backup.user_id, setting.key, setting.value, 'users.settings'
FROM user_settings_backup AS backup
CROSS JOIN LATERAL jsonb_each(backup.settings) AS setting
WHERE setting.key <> ''
ON CONFLICT ON CONSTRAINT user_preferences_user_key DO NOTHING;

UPDATE users
SET settings = users.settings - ARRAY(
    SELECT key FROM user_preferences WHERE user_preferences.user_id = users.id
)
FROM user_settings_backup AS backup
WHERE backup.user_id = users.id;

-- +migrate Down lock_timeout=2s statement_timeout=10min
-- What the application has written to users.settings since then stays, the backup fills in the rest.
UPDATE users
SET settings = backup.settings || coalesce(users.settings, '{}'::jsonb)
FROM user_settings_backup AS backup
WHERE backup.user_id = users.id;

DELETE FROM user_preferences
WHERE source = 'users.settings';

DROP TABLE user_settings_backup;

-- +migrate Verify
-- Nobody is missing: every key of every backup has its preference.
SELECT NOT EXISTS (
    SELECT
    FROM user_settings_backup AS backup
    CROSS JOIN LATERAL jsonb_each(backup.settings) AS setting
    LEFT JOIN user_preferences AS preference
        ON preference.user_id = backup.user_id AND preference.key = setting.key
    WHERE preference.id IS NULL AND setting.key <> ''
);

-- Counts agree: what was moved is not more than what was there.
SELECT (SELECT count(*) FROM user_preferences WHERE source = 'users.settings')
    <= (SELECT count(*)
        FROM user_settings_backup AS backup
        CROSS JOIN LATERAL jsonb_each(backup.settings));

-- No moved key is left in its old place.
DO $$
BEGIN
    ASSERT NOT EXISTS (
        SELECT
        FROM users
        JOIN user_preferences AS preference ON preference.user_id = users.id
        WHERE preference.source = 'users.settings'
          AND users.settings ? preference.key
    ), 'a moved key is still in users.settings';
END
$$;
