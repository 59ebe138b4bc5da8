-- Name:        rename_source
-- Description: The old name goes. Held back until somebody asks: ledger up --phase contract.
--
-- NOT NULL went with the old column; `ledger create --recipe not-null` puts it on the new one
-- without a long lock.

-- +migrate Up lock_timeout=2s
-- When no program uses the old name any more. A default of the old column belongs on the new one
-- from here on, and not before: it would win over what an old program writes.
LOCK TABLE user_preferences IN ACCESS EXCLUSIVE MODE;

DROP TRIGGER user_preferences_source_renamed ON user_preferences;
DROP FUNCTION user_preferences_source_renamed();

ALTER TABLE user_preferences
    DROP COLUMN source,
    ALTER COLUMN origin SET DEFAULT 'application';

-- +migrate Down lock_timeout=2s
-- Writes the whole table while everybody waits.
LOCK TABLE user_preferences IN ACCESS EXCLUSIVE MODE;

ALTER TABLE user_preferences
    ADD COLUMN source text DEFAULT 'application',
    ALTER COLUMN origin DROP DEFAULT;

COMMENT ON COLUMN user_preferences.source IS 'Who wrote the row first';

UPDATE user_preferences
SET source = origin;

ALTER TABLE user_preferences
    ALTER COLUMN source SET NOT NULL;

CREATE FUNCTION user_preferences_source_renamed() RETURNS trigger
LANGUAGE plpgsql
AS $sync$
BEGIN
    -- Whichever name a program wrote to, the other follows; of both, the new one counts.
    IF TG_OP = 'INSERT' THEN
        NEW.origin := coalesce(NEW.origin, NEW.source);
        NEW.source := NEW.origin;
    ELSIF NEW.origin IS DISTINCT FROM OLD.origin THEN
        NEW.source := NEW.origin;
    ELSE
        NEW.origin := NEW.source;
    END IF;
    RETURN NEW;
END
$sync$;

CREATE TRIGGER user_preferences_source_renamed
BEFORE INSERT OR UPDATE ON user_preferences
FOR EACH ROW EXECUTE FUNCTION user_preferences_source_renamed();

-- +migrate Verify
SELECT count(*) = 1
FROM pg_attribute
WHERE attrelid = to_regclass('user_preferences')
  AND attname IN ('source', 'origin')
  AND NOT attisdropped;
