-- Name:        create_user_preferences
-- Description: One row per user and key, the value as JSONB; new and empty, so nothing is blocked.

-- +migrate Up lock_timeout=2s
CREATE TABLE user_preferences (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key        text        NOT NULL CHECK (key <> ''),
    value      jsonb       NOT NULL DEFAULT '{}'::jsonb,
    source     text        NOT NULL DEFAULT 'application',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_preferences_user_key UNIQUE (user_id, key)
);

CREATE INDEX user_preferences_key_idx ON user_preferences (key);
CREATE INDEX user_preferences_value_idx ON user_preferences USING gin (value jsonb_path_ops);

COMMENT ON TABLE user_preferences IS 'Settings of a user, one row per key';
COMMENT ON COLUMN user_preferences.value IS 'Any JSON value; its shape is known by key';
COMMENT ON COLUMN user_preferences.source IS 'Who wrote the row first';

-- +migrate Down lock_timeout=2s
DROP TABLE user_preferences;

-- +migrate Verify
SELECT to_regclass('user_preferences') IS NOT NULL;

SELECT count(*) = 2
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass('user_preferences')
  AND i.indisvalid
  AND c.relname IN ('user_preferences_key_idx', 'user_preferences_value_idx');
