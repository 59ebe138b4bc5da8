-- Name:        split_addresses
-- Description: Addresses in a table of their own, while old code goes on using users.
--
-- The first half of an expand/contract pair: the old columns stay and remain true. The enum comes
-- before the table that uses it, the trigger before the backfill, so that no write is missed.

-- +migrate Up lock_timeout=2s statement_timeout=10min
CREATE TYPE address_kind AS ENUM ('home', 'billing', 'shipping');

CREATE TABLE addresses (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     bigint       NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind        address_kind NOT NULL DEFAULT 'home',
    street      text,
    city        text,
    state       text,
    postal_code text,
    country     text,
    CONSTRAINT addresses_user_kind UNIQUE (user_id, kind)
);

COMMENT ON TABLE addresses IS 'Postal addresses; the one of kind home mirrors the columns of users';

-- +migrate StatementBegin
CREATE FUNCTION users_address_to_addresses() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF num_nonnulls(NEW.address, NEW.city, NEW.state, NEW.postal_code, NEW.country) = 0 THEN
        DELETE FROM addresses WHERE user_id = NEW.id AND kind = 'home';
        RETURN NULL;
    END IF;
    INSERT INTO addresses (user_id, kind, street, city, state, postal_code, country)
    VALUES (NEW.id, 'home', NEW.address, NEW.city, NEW.state, NEW.postal_code, NEW.country)
    ON CONFLICT ON CONSTRAINT addresses_user_kind DO UPDATE
    SET street = excluded.street,
        city = excluded.city,
        state = excluded.state,
        postal_code = excluded.postal_code,
        country = excluded.country;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd

CREATE TRIGGER users_address_to_addresses
AFTER INSERT OR UPDATE OF address, city, state, postal_code, country ON users
FOR EACH ROW EXECUTE FUNCTION users_address_to_addresses();

INSERT INTO addresses (user_id, kind, street, city, state, postal_code, country)
SELECT id, 'home', address, city, state, postal_code, country
FROM users
WHERE num_nonnulls(address, city, state, postal_code, country) > 0;

CREATE VIEW users_with_address AS
SELECT
    users.id,
    users.email,
    users.first_name,
    users.last_name,
    home.street AS address,
    home.city,
    home.state,
    home.postal_code,
    home.country
FROM users
LEFT JOIN addresses AS home ON home.user_id = users.id AND home.kind = 'home';

COMMENT ON VIEW users_with_address IS 'The shape that users had, read from addresses';

-- +migrate Down lock_timeout=2s
DROP VIEW users_with_address;
DROP TRIGGER users_address_to_addresses ON users;
DROP FUNCTION users_address_to_addresses();
DROP TABLE addresses;
DROP TYPE address_kind;

-- +migrate Verify
-- The view shows for every user what the old columns hold.
SELECT NOT EXISTS (
    SELECT
    FROM users
    JOIN users_with_address AS shown USING (id)
    WHERE (users.address, users.city, users.state, users.postal_code, users.country)
        IS DISTINCT FROM (shown.address, shown.city, shown.state, shown.postal_code, shown.country)
);

SELECT tgenabled = 'O'
FROM pg_trigger
WHERE tgrelid = to_regclass('users') AND tgname = 'users_address_to_addresses';
