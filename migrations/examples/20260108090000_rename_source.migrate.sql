-- Name:        rename_source
-- Description: The rows that were there before, a thousand at a time, while all go on writing.

-- +migrate Data table=user_preferences key=id batch=1000 lock_timeout=2s
-- Rows that were there before the trigger; it keeps both names alike from then on.
UPDATE user_preferences
SET origin = user_preferences.source
FROM batch
WHERE user_preferences.id = batch.id
  AND user_preferences.origin IS DISTINCT FROM user_preferences.source;

-- +migrate Validate
SELECT id
FROM user_preferences
WHERE origin IS DISTINCT FROM source;

-- +migrate Down
-- Nothing to undo: the new column goes with the Down of expand.
