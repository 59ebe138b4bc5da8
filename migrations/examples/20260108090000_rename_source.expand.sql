-- Name:        rename_source
-- Description: user_preferences.source gets another name, in three phases; first both names exist.
--
-- Written by: ledger create rename_source --recipe rename-column
--     --table user_preferences --column source:text --to origin
-- and edited: the comment of the column here, its default and NOT NULL in the contract.

-- +migrate Up lock_timeout=2s
-- Old programs go on with the old name, new ones begin with the new one. Give the new column the
-- indexes and constraints of the old one in migrations of their own before the contract.
ALTER TABLE user_preferences
    ADD COLUMN origin text;

COMMENT ON COLUMN user_preferences.origin IS 'Who wrote the row first';

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

-- +migrate Down lock_timeout=2s
DROP TRIGGER user_preferences_source_renamed ON user_preferences;
DROP FUNCTION user_preferences_source_renamed();

ALTER TABLE user_preferences
    DROP COLUMN origin;

-- +migrate Verify
SELECT tgenabled = 'O'
FROM pg_trigger
WHERE tgrelid = to_regclass('user_preferences') AND tgname = 'user_preferences_source_renamed';
