-- Requests: what a person may have recorded, and the one function that records it.
--
-- A log that cannot be changed must not be given what nobody can read, and nobody who may only ask
-- may say what happened. So people (`ledger_operator`), whoever notifies them (`ledger_notifier`), and
-- whoever audits (`ledger_auditor`), have no right to `ledger.append`: they call `ledger.request`,
-- which looks at every event before the log has it. What it lets through all the same, and cannot be read, stops no
-- reader (ledger/store/log/decode.py).
--
-- The lists of types and keys are those of ledger/contracts; a test compares them.

-- +migrate Up

CREATE TABLE ledger.request_type (
    type text NOT NULL,
    schema_version integer NOT NULL,
    CONSTRAINT request_type_pkey PRIMARY KEY (type)
);

CREATE TABLE ledger.request_key (
    type text NOT NULL,
    key text NOT NULL,
    kinds text[] NOT NULL,
    required boolean NOT NULL,
    CONSTRAINT request_key_pkey PRIMARY KEY (type, key),
    CONSTRAINT request_key_of_a_type FOREIGN KEY (type) REFERENCES ledger.request_type
);

INSERT INTO ledger.request_type (type, schema_version) VALUES
    ('DatabaseRegistered', 1),
    ('DatabaseRelabelled', 1),
    ('DatabaseRepointed', 1),
    ('DatabaseSuspended', 1),
    ('DatabaseReinstated', 1),
    ('DatabaseFenceReset', 1),
    ('DatabaseRetired', 1),
    ('BundleRegistered', 1),
    ('DriftAccepted', 1),
    ('FactRecorded', 1),
    ('ChangeAccepted', 1),
    ('FileGone', 1),
    ('RehearsalRecorded', 1),
    ('KeyRegistered', 1),
    ('KeyRevoked', 1),
    ('RolloutPlanned', 1),
    ('WavePlanned', 1),
    ('RolloutStarted', 1),
    ('RolloutPaused', 1),
    ('RolloutResumed', 1),
    ('RetryRequested', 1),
    ('UndoStarted', 1),
    ('RolloutAborted', 1),
    ('OutcomeResolved', 1),
    ('CheckRequested', 1),
    ('EventSetAside', 1),
    ('NotificationFailed', 1),
    ('DifferenceFound', 1);

INSERT INTO ledger.request_key (type, key, kinds, required) VALUES
    ('DatabaseRegistered', 'database', '{string}', true),
    ('DatabaseRegistered', 'pool', '{string}', true),
    ('DatabaseRegistered', 'connection', '{object}', true),
    ('DatabaseRegistered', 'labels', '{object}', false),
    ('DatabaseRelabelled', 'database', '{string}', true),
    ('DatabaseRelabelled', 'labels', '{object}', true),
    ('DatabaseRepointed', 'database', '{string}', true),
    ('DatabaseRepointed', 'pool', '{string}', true),
    ('DatabaseRepointed', 'connection', '{object}', true),
    ('DatabaseSuspended', 'database', '{string}', true),
    ('DatabaseReinstated', 'database', '{string}', true),
    ('DatabaseFenceReset', 'database', '{string}', true),
    ('DatabaseFenceReset', 'epoch', '{object}', true),
    ('DatabaseFenceReset', 'journal_head', '{string}', true),
    ('DatabaseRetired', 'database', '{string}', true),
    ('BundleRegistered', 'bundle', '{string}', true),
    ('BundleRegistered', 'migrations', '{array}', true),
    ('BundleRegistered', 'source', '{string}', true),
    ('BundleRegistered', 'git_commit', '{"null",string}', false),
    ('BundleRegistered', 'git_dirty', '{boolean,"null"}', false),
    ('BundleRegistered', 'history', '{string}', false),
    ('BundleRegistered', 'name', '{string}', false),
    ('DriftAccepted', 'database', '{string}', true),
    ('DriftAccepted', 'fingerprint', '{string}', true),
    ('FactRecorded', 'database', '{string}', true),
    ('FactRecorded', 'fact', '{string}', true),
    ('FactRecorded', 'at', '{string}', true),
    ('ChangeAccepted', 'version', '{string}', true),
    ('ChangeAccepted', 'known', '{string}', true),
    ('ChangeAccepted', 'given', '{string}', true),
    ('ChangeAccepted', 'history', '{string}', false),
    ('FileGone', 'version', '{string}', true),
    ('FileGone', 'history', '{string}', false),
    ('RehearsalRecorded', 'bundle', '{string}', true),
    ('RehearsalRecorded', 'succeeded', '{boolean}', true),
    ('RehearsalRecorded', 'versions', '{array}', true),
    ('RehearsalRecorded', 'failed', '{array}', true),
    ('RehearsalRecorded', 'server_version', '{number}', true),
    ('RehearsalRecorded', 'duration_ms', '{number}', true),
    ('RehearsalRecorded', 'schema_from', '{string}', false),
    ('KeyRegistered', 'key', '{string}', true),
    ('KeyRegistered', 'public_key', '{string}', true),
    ('KeyRegistered', 'agent', '{string}', true),
    ('KeyRegistered', 'pool', '{string}', true),
    ('KeyRegistered', 'replaces', '{"null",string}', false),
    ('KeyRevoked', 'key', '{string}', true),
    ('RolloutPlanned', 'rollout', '{string}', true),
    ('RolloutPlanned', 'mode', '{string}', true),
    ('RolloutPlanned', 'bundle', '{string}', true),
    ('RolloutPlanned', 'steps', '{array}', true),
    ('RolloutPlanned', 'selection', '{string}', true),
    ('RolloutPlanned', 'fleet_position', '{number}', true),
    ('RolloutPlanned', 'databases', '{number}', true),
    ('RolloutPlanned', 'waves', '{number}', true),
    ('RolloutPlanned', 'wave_spec', '{string}', true),
    ('RolloutPlanned', 'in_flight', '{number}', true),
    ('RolloutPlanned', 'budget', '{object}', true),
    ('RolloutPlanned', 'when_spent', '{string}', true),
    ('RolloutPlanned', 'limits', '{object}', true),
    ('RolloutPlanned', 'expiry_s', '{number}', true),
    ('RolloutPlanned', 'deadline_s', '{number}', true),
    ('RolloutPlanned', 'adoption', '{"null",object}', false),
    ('RolloutPlanned', 'out_of_order', '{boolean}', false),
    ('RolloutPlanned', 'variables', '{array}', false),
    ('RolloutPlanned', 'digest', '{"null",string}', false),
    ('RolloutPlanned', 'undoes', '{"null",string}', false),
    ('RolloutPlanned', 'history', '{string}', false),
    ('WavePlanned', 'rollout', '{string}', true),
    ('WavePlanned', 'wave', '{number}', true),
    ('WavePlanned', 'chunk', '{number}', true),
    ('WavePlanned', 'databases', '{array}', true),
    ('WavePlanned', 'values', '{array}', false),
    ('RolloutStarted', 'rollout', '{string}', true),
    ('RolloutPaused', 'rollout', '{string}', true),
    ('RolloutResumed', 'rollout', '{string}', true),
    ('RetryRequested', 'rollout', '{string}', true),
    ('RetryRequested', 'databases', '{array}', true),
    ('UndoStarted', 'rollout', '{string}', true),
    ('UndoStarted', 'by', '{string}', true),
    ('UndoStarted', 'why', '{string}', true),
    ('RolloutAborted', 'rollout', '{string}', true),
    ('RolloutAborted', 'cancel', '{boolean}', true),
    ('OutcomeResolved', 'rollout', '{string}', true),
    ('OutcomeResolved', 'database', '{string}', true),
    ('OutcomeResolved', 'version', '{string}', true),
    ('OutcomeResolved', 'applied', '{boolean}', true),
    ('CheckRequested', 'check', '{string}', true),
    ('CheckRequested', 'purpose', '{string}', true),
    ('CheckRequested', 'databases', '{array}', true),
    ('CheckRequested', 'adoption', '{"null",object}', false),
    ('CheckRequested', 'preflight', '{"null",object}', false),
    ('EventSetAside', 'position', '{number}', true),
    ('EventSetAside', 'leaf', '{string}', true),
    ('NotificationFailed', 'target', '{string}', true),
    ('NotificationFailed', 'why', '{string}', true),
    ('NotificationFailed', 'failing_since', '{string}', true),
    ('NotificationFailed', 'tries', '{number}', true),
    ('NotificationFailed', 'waiting', '{number}', true),
    ('NotificationFailed', 'given_up', '{number}', false),
    ('DifferenceFound', 'audited', '{string}', true),
    ('DifferenceFound', 'place', '{string}', true),
    ('DifferenceFound', 'differences', '{number}', true);

-- Who joined the fleet, found by the database's id.
CREATE INDEX log_registrations ON ledger.log (ledger.database_in(body))
WHERE type = 'DatabaseRegistered';

-- Whether this is a service, which may append, or a person who asks. The functions here run as the
-- schema's owner, who counts as service.
-- +migrate StatementBegin
CREATE FUNCTION ledger.is_service() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT pg_has_role(session_user, 'ledger_service', 'MEMBER') OR session_user = current_user
$$;
-- +migrate StatementEnd

-- What is wrong with where a database is said to be; NULL if nothing is.
-- +migrate StatementBegin
CREATE FUNCTION ledger.why_no_connection(p_connection jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_connection IS NULL THEN NULL
        WHEN jsonb_typeof(p_connection #> '{target,server}') IS DISTINCT FROM 'object'
            THEN 'a connection has a target, and that a server'
        WHEN EXISTS (
            SELECT FROM (VALUES
                (p_connection #> '{target,server,host}'),
                (p_connection #> '{target,database}'),
                (p_connection -> 'user')) AS needed (part)
            WHERE jsonb_typeof(part) IS DISTINCT FROM 'string'
               OR part #>> '{}' !~ '^[^[:cntrl:]]+$'
               OR length(part #>> '{}') > 1000)
            THEN 'host, database and user must be texts of one line'
        WHEN coalesce(p_connection #>> '{target,server,port}', '5432') !~ '^[0-9]{1,5}$'
            THEN 'the port must be a number'
        WHEN p_connection ->> 'password' !~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^[:cntrl:]]+)$'
            THEN 'a password must be a reference, env:NAME or file:PATH, and never the secret'
        WHEN p_connection ? 'further_schemas' AND (
                jsonb_typeof(p_connection -> 'further_schemas') <> 'array'
                OR jsonb_path_exists(
                    p_connection -> 'further_schemas', 'strict $[*] ? (@.type() <> "string")')
                OR p_connection ->> 'further_schemas' ~ '[[:cntrl:]]'
                OR length(p_connection ->> 'further_schemas') > 10000)
            THEN 'further schemas must be a list of names'
        WHEN EXISTS (
            SELECT FROM (
                SELECT '' AS inside, *
                FROM jsonb_each(p_connection - 'target' - 'further_schemas')
                UNION ALL SELECT 'target', * FROM jsonb_each((p_connection -> 'target') - 'server')
                UNION ALL SELECT 'server', * FROM jsonb_each(p_connection #> '{target,server}')
            ) AS part
            WHERE (part.inside, part.key) NOT IN (('server', 'host'), ('server', 'port'),
                    ('target', 'database'), ('target', 'schema'), ('target', 'history'),
                    ('', 'user'), ('', 'password'), ('', 'sslmode'), ('', 'role'))
               OR jsonb_typeof(part.value) NOT IN ('string', 'number', 'null')
               OR part.key <> 'port' AND jsonb_typeof(part.value) = 'number')
            THEN 'a connection has other parts than ours have'
        -- Control characters, and those that turn text or are not seen; these without the joiners.
        WHEN EXISTS (
            SELECT FROM jsonb_path_query(p_connection, 'strict $.** ? (@.type() == "string")') AS part
            WHERE part #>> '{}' ~ '[[:cntrl:]\u0080-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f]'
               OR part #>> '{}' ~ '[\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]')
            THEN 'a connection has characters that steer a terminal, turn text or are not seen'
    END
$$;
-- +migrate StatementEnd

-- What is wrong with the circumstances of a request; NULL if nothing is.
-- +migrate StatementBegin
CREATE FUNCTION ledger.why_no_metadata(p_metadata jsonb) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN jsonb_typeof(p_metadata) <> 'object' THEN 'its metadata are no JSON object'
        WHEN EXISTS (
            SELECT FROM jsonb_each(p_metadata) AS said
            WHERE jsonb_typeof(said.value) <> ALL (
                CASE said.key
                    WHEN 'recovered' THEN '{boolean,"null"}'::text[]
                    WHEN 'insecure' THEN '{array,"null"}'
                    WHEN 'actor' THEN '{object,"null"}'
                    ELSE '{string,"null"}'
                END))
            THEN 'its metadata have another form than ours'
        WHEN jsonb_typeof(p_metadata -> 'actor') = 'object' AND (
                NOT p_metadata -> 'actor' ? 'name' OR EXISTS (
                    SELECT FROM jsonb_each(p_metadata -> 'actor') AS part
                    WHERE jsonb_typeof(part.value) <> 'string'))
            THEN 'its metadata say in another form than ours who asked'
        WHEN p_metadata ->> 'occurred_at' !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$'
            THEN 'its metadata name no moment'
        WHEN jsonb_array_length(CASE jsonb_typeof(p_metadata -> 'insecure')
                WHEN 'array' THEN p_metadata -> 'insecure' ELSE '[]' END) > 0
            THEN 'only agents say what is insecure'
        WHEN jsonb_typeof(p_metadata -> 'key') = 'string' THEN 'only agents name a key'
    END
$$;
-- +migrate StatementEnd

-- What is wrong with the form of a request; NULL if nothing is. Everything a number can do to a
-- reader's memory is bounded; a fleet has fewer than a million databases.
-- +migrate StatementBegin
CREATE FUNCTION ledger.why_no_form(p_type text, p_schema_version integer, p_body jsonb)
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN jsonb_typeof(p_body) <> 'object' THEN 'its body is no JSON object'
        WHEN p_schema_version IS DISTINCT FROM known.schema_version
            THEN format('its version must be %s', known.schema_version)
        WHEN EXISTS (
            SELECT FROM ledger.request_key AS needed
            WHERE needed.type = p_type AND needed.required AND NOT p_body ? needed.key)
            THEN 'a part is missing'
        WHEN EXISTS (
            SELECT FROM jsonb_each(p_body) AS part
            LEFT JOIN ledger.request_key AS one ON one.type = p_type AND one.key = part.key
            WHERE one.key IS NULL OR jsonb_typeof(part.value) <> ALL (one.kinds))
            THEN 'it has a part that is not known, or of another kind'
        WHEN jsonb_path_exists(p_body, 'strict $.**{12}') THEN 'it is too deep'
        WHEN EXISTS (
            SELECT FROM jsonb_each(p_body) AS part
            WHERE jsonb_typeof(part.value) = 'number' AND part.key <> 'fleet_position'
              AND (part.value)::numeric NOT BETWEEN 0
                AND CASE part.key WHEN 'position' THEN 9223372036854775807 ELSE 1000000000 END)
            THEN 'a number in it is too large'
        WHEN (p_body ->> 'position')::numeric % 1 <> 0 THEN 'its position is none'
        WHEN p_body ->> 'journal_head' !~ '^[0-9a-f]{64}$' THEN 'its journal head is none'
        WHEN p_type = 'RehearsalRecorded' AND (
                jsonb_path_exists(p_body, 'strict $.versions[*] ? (@.type() <> "string")')
                OR jsonb_path_exists(p_body, 'strict $.failed[*] ? (@.type() <> "string")')
                OR (p_body ->> 'server_version')::numeric % 1 <> 0
                OR (p_body ->> 'duration_ms')::numeric % 1 <> 0)
            THEN 'its versions or a number in it is none'
        WHEN p_body ? 'epoch' AND EXISTS (
            SELECT FROM (VALUES ('term'), ('position')) AS part (name)
            WHERE CASE jsonb_typeof(p_body -> 'epoch' -> name)
                WHEN 'number' THEN (p_body -> 'epoch' -> name)::numeric % 1 <> 0
                    OR (p_body -> 'epoch' -> name)::numeric
                        NOT BETWEEN -9223372036854775808 AND 9223372036854775807
                ELSE true END)
            THEN 'its epoch is none'
        WHEN (p_body ->> 'wave')::numeric > 100000 OR (p_body ->> 'waves')::numeric > 100000
            THEN 'it has too many waves'
        WHEN p_body ->> 'database' !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$'
            OR p_body ->> 'rollout' !~ '^[A-Za-z0-9._-]{1,100}$'
            OR p_body ->> 'by' !~ '^[A-Za-z0-9._-]{1,100}$'
            OR p_body ->> 'undoes' !~ '^[A-Za-z0-9._-]{1,100}$'
            OR p_body ->> 'check' !~ '^[A-Za-z0-9._-]{1,100}$'
            OR p_body ->> 'bundle' !~ '^[0-9a-f]{64}$'
            OR p_body ->> 'pool' !~ '^[a-z0-9][a-z0-9_-]{0,62}$'
            OR p_body ->> 'target' !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'
            THEN 'a name in it is none'
        WHEN p_type = 'NotificationFailed' AND p_body ->> 'why' !~ '^[^[:cntrl:]]{1,200}$'
            THEN 'its reason is none'
        WHEN p_type = 'DifferenceFound' AND (
                p_body ->> 'audited' NOT IN ('chain', 'kept end', 'rows')
                OR p_body ->> 'place' !~ '^[^[:cntrl:]]{1,200}$'
                OR (p_body ->> 'differences')::numeric NOT BETWEEN 1 AND 1000000000
                OR (p_body ->> 'differences')::numeric % 1 <> 0)
            THEN 'what differs in it is none'
        WHEN p_body ->> 'failing_since'
                !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$'
            THEN 'it names no moment'
        WHEN (SELECT count(*) FROM jsonb_object_keys(
                CASE jsonb_typeof(p_body -> 'labels') WHEN 'object' THEN p_body -> 'labels'
                    ELSE '{}' END)) > 100
            THEN 'a database has at most 100 labels'
        WHEN EXISTS (
            SELECT FROM jsonb_each(
                CASE jsonb_typeof(p_body -> 'labels') WHEN 'object' THEN p_body -> 'labels'
                    ELSE '{}' END) AS label
            WHERE jsonb_typeof(label.value) <> 'string'
               OR label.key !~ '^[A-Za-z][A-Za-z0-9._/-]{0,62}$'
               OR label.value #>> '{}' !~ '^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,199}$')
            THEN 'a label in it is none'
        WHEN p_body ->> 'key' !~ '^[0-9a-f]{32}$' OR p_body ->> 'replaces' !~ '^[0-9a-f]{32}$'
            OR p_body ->> 'public_key' !~ '^[A-Za-z0-9+/]{43}=$'
            OR p_body ->> 'agent' !~ '^[^[:cntrl:]]{1,200}$'
            THEN 'a key in it is none'
        WHEN p_body ? 'public_key' AND p_body ->> 'key' IS DISTINCT FROM
                left(encode(sha256(decode(p_body ->> 'public_key', 'base64')), 'hex'), 32)
            THEN 'its key is called otherwise'
        ELSE ledger.why_no_connection(p_body -> 'connection')
    END
    FROM ledger.request_type AS known WHERE known.type = p_type
$$;
-- +migrate StatementEnd

-- What is wrong with saying this here and now; NULL if nothing is. The caller holds the lock on the
-- head row, so nobody else says anything meanwhile. `p_number` is the event's place in its batch.
-- +migrate StatementBegin
CREATE FUNCTION ledger.why_no_subject(
    p_stream text, p_expected_version bigint, p_number integer, p_first text, p_type text,
    p_id uuid, p_body bytea, p_said jsonb
)
RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_database constant bytea := ledger.database_in(p_body);
    -- Bodies about a key begin with it, so that none has to be read that somebody else wrote.
    v_key constant bytea := convert_to(format('{"key":"%s"', p_said ->> 'key'), 'UTF8');
    v_bundle constant bytea := convert_to(format('{"bundle":"%s"', p_said ->> 'bundle'), 'UTF8');
    v_stream constant text := CASE
        WHEN p_type LIKE 'Database%' OR p_type IN ('DriftAccepted', 'FactRecorded') THEN 'fleet'
        WHEN p_type IN ('BundleRegistered', 'ChangeAccepted', 'FileGone', 'RehearsalRecorded')
            THEN 'bundles'
        WHEN p_type LIKE 'Key%' THEN 'keys'
        WHEN p_type = 'CheckRequested' THEN 'check-' || (p_said ->> 'check')
        WHEN p_type IN ('EventSetAside', 'NotificationFailed', 'DifferenceFound') THEN 'ledger'
        ELSE 'rollout-' || (p_said ->> 'rollout')
    END;
BEGIN
    IF p_stream IS DISTINCT FROM v_stream THEN
        RETURN format('it belongs into the stream %s', v_stream);
    END IF;
    IF p_said ? 'database'
        AND v_database IS DISTINCT FROM convert_to(p_said ->> 'database', 'UTF8')
    THEN
        RETURN 'its database is not written as we write it';
    END IF;
    -- The same call again, because its answer was lost, is let through to its first answer.
    IF EXISTS (SELECT FROM ledger.log WHERE event_id = p_id) THEN
        RETURN NULL;
    END IF;
    IF p_stream = 'fleet' THEN
        IF p_expected_version IS NULL THEN
            RETURN 'a request about the fleet says which fleet it knew';
        END IF;
        IF p_type = 'DatabaseRegistered' AND EXISTS (
            SELECT FROM ledger.log
            WHERE type = 'DatabaseRegistered' AND ledger.database_in(body) = v_database)
        THEN
            RETURN 'this database is registered already';
        END IF;
        IF p_type <> 'DatabaseRegistered' AND NOT EXISTS (
            SELECT FROM ledger.log
            WHERE type = 'DatabaseRegistered' AND ledger.database_in(body) = v_database)
        THEN
            RETURN 'this database is not registered';
        END IF;
        -- A later order is never kept out by what an earlier one has left.
        IF p_type = 'DatabaseFenceReset' AND EXISTS (
            SELECT FROM ledger.head
            WHERE (p_said -> 'epoch' ->> 'term')::numeric BETWEEN 0 AND head.term
              AND (p_said -> 'epoch' ->> 'position')::numeric BETWEEN 0 AND head.position)
        THEN
            RETURN 'an order of this ledger may have that epoch, so it keeps no later one out';
        END IF;
    ELSIF p_type = 'EventSetAside' THEN
        -- Whoever projects could not read it: nobody who may only ask takes away what can be read.
        IF NOT EXISTS (
            SELECT FROM ledger.unreadable_event AS unread
            JOIN ledger.log AS one ON one.position = unread.position
            WHERE unread.position = (p_said ->> 'position')::numeric::bigint
              AND encode(one.leaf, 'hex') = p_said ->> 'leaf')
        THEN
            RETURN 'no event of this hash that cannot be read stands there';
        END IF;
    ELSIF p_stream = 'keys' THEN
        IF p_expected_version IS NULL THEN
            RETURN 'a request about keys says which keys it knew';
        END IF;
        IF substring(p_body FROM 1 FOR length(v_key)) IS DISTINCT FROM v_key THEN
            RETURN 'its key is not written as we write it';
        END IF;
        IF EXISTS (
            SELECT FROM ledger.log
            WHERE stream = 'keys' AND type = 'KeyRevoked'
              AND substring(body FROM 1 FOR length(v_key)) = v_key)
        THEN
            RETURN 'this key is revoked';
        END IF;
        IF p_type = 'KeyRegistered' AND EXISTS (
            SELECT FROM ledger.log
            WHERE stream = 'keys' AND type = 'KeyRegistered'
              AND substring(body FROM 1 FOR length(v_key)) = v_key
              AND substring(body FROM 1 FOR position('"pool":"'::bytea IN body))
                  IS DISTINCT FROM substring(p_body FROM 1 FOR position('"pool":"'::bytea IN p_body)))
        THEN
            RETURN 'this key is another agent''s';
        END IF;
        IF p_type = 'KeyRevoked' AND NOT EXISTS (
            SELECT FROM ledger.log
            WHERE stream = 'keys' AND type = 'KeyRegistered'
              AND substring(body FROM 1 FOR length(v_key)) = v_key)
        THEN
            RETURN 'this key is not registered';
        END IF;
    ELSIF p_type IN ('RolloutPlanned', 'CheckRequested') THEN
        IF p_number > 1 OR p_expected_version IS DISTINCT FROM 0 THEN
            RETURN 'it begins a stream of its own';
        END IF;
        -- Bodies about a bundle begin with it, as ours are written.
        IF p_type = 'RolloutPlanned' AND NOT EXISTS (
            SELECT FROM ledger.log
            WHERE stream = 'bundles' AND type = 'BundleRegistered'
              AND substring(body FROM 1 FOR length(v_bundle)) = v_bundle)
        THEN
            RETURN 'no such bundle is registered';
        END IF;
    ELSIF p_stream LIKE 'rollout-%' AND p_first IS DISTINCT FROM 'RolloutPlanned'
        AND NOT EXISTS (
            SELECT FROM ledger.log
            WHERE stream = p_stream AND stream_version = 1 AND type = 'RolloutPlanned')
    THEN
        RETURN 'there is no such rollout';
    END IF;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd

-- Refuses a request that no reader could read, or that speaks of what is not there. Limits in bytes:
-- a body of 16 MiB (a bundle of many thousand migrations), of 256 KiB about one database or key,
-- metadata of 64 KiB.
-- +migrate StatementBegin
CREATE FUNCTION ledger.check_request(
    p_stream text, p_expected_version bigint, p_number integer, p_first text, p_type text,
    p_id uuid, p_schema_version integer, p_body bytea, p_metadata bytea
)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_said jsonb;
    v_metadata jsonb;
    v_why text;
BEGIN
    IF octet_length(p_body) > 16777216
        OR p_type ~ '^(Database|Key)' AND octet_length(p_body) > 262144
        OR octet_length(p_metadata) > 65536
    THEN
        v_why := 'it is too long';
    ELSE
        BEGIN
            v_said := convert_from(p_body, 'UTF8')::jsonb;
            v_metadata := convert_from(p_metadata, 'UTF8')::jsonb;
        EXCEPTION WHEN OTHERS THEN
            v_why := 'it is no JSON that can be kept: ' || SQLERRM;
        END;
    END IF;
    IF v_why IS NULL AND (v_said IS NULL OR v_metadata IS NULL OR p_id IS NULL) THEN
        v_why := 'it says nothing';
    END IF;
    v_why := coalesce(
        v_why,
        ledger.why_no_form(p_type, p_schema_version, v_said),
        ledger.why_no_metadata(v_metadata),
        ledger.why_no_subject(
            p_stream, p_expected_version, p_number, p_first, p_type, p_id, p_body, v_said));
    IF v_why IS NOT NULL THEN
        PERFORM ledger.refuse_event(p_type, v_why);
    END IF;
END
$$;
-- +migrate StatementEnd

-- Records what a person asks for: `ledger.append`, or with p_known `ledger.append_on_premise`, after
-- a look at every event. Whoever may append may call it too, and is not looked at.
--
-- Errors: those of the two, and LG010 for what no reader could read or what speaks of nothing.
-- +migrate StatementBegin
CREATE FUNCTION ledger.request(
    p_known bigint, p_turns text[], p_failures bigint, p_databases text[],
    p_stream text, p_expected_version bigint, p_ids uuid[], p_types text[],
    p_schema_versions integer[], p_bodies bytea[], p_metadatas bytea[], p_skip_known boolean
)
RETURNS bigint[] LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF NOT ledger.is_service() THEN
        PERFORM ledger.check_kind(p_stream, one.type, one.schema_version)
        FROM (
            SELECT DISTINCT type, schema_version
            FROM unnest(p_types, p_schema_versions) AS given (type, schema_version)
        ) AS one;
        PERFORM FROM ledger.head FOR UPDATE;
        IF EXISTS (
            SELECT FROM unnest(p_types, p_bodies) AS one (type, body)
            WHERE one.type = 'DatabaseRegistered'
            GROUP BY ledger.database_in(one.body) HAVING count(*) > 1)
        THEN
            PERFORM ledger.refuse_event('DatabaseRegistered', 'a database in it is named twice');
        END IF;
        FOR i IN 1..coalesce(cardinality(p_ids), 0) LOOP
            PERFORM ledger.check_request(
                p_stream, p_expected_version, i, p_types[1], p_types[i], p_ids[i],
                p_schema_versions[i], p_bodies[i], p_metadatas[i]);
        END LOOP;
    END IF;
    IF p_known IS NULL THEN
        RETURN ledger.append(
            p_stream, p_expected_version, p_ids, p_types, p_schema_versions, p_bodies,
            p_metadatas, p_skip_known, NULL, NULL, NULL);
    END IF;
    RETURN ledger.append_on_premise(
        p_known, p_turns, p_failures, p_databases, p_stream, p_expected_version, p_ids, p_types,
        p_schema_versions, p_bodies, p_metadatas, NULL);
END
$$;
-- +migrate StatementEnd

-- Whose turn it is to start a rollout: the row is locked from the last look at the fleet until the plan
-- is in the log. Who may only read cannot lock it, as he could any advisory lock.
CREATE TABLE ledger.planning (
    singleton boolean NOT NULL DEFAULT true,
    CONSTRAINT planning_pkey PRIMARY KEY (singleton),
    CONSTRAINT planning_has_one_row CHECK (singleton)
);
INSERT INTO ledger.planning DEFAULT VALUES;

-- Waits until nobody else starts a rollout; the turn is over with the transaction.
-- +migrate StatementBegin
CREATE FUNCTION ledger.await_turn() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM ledger.planning FOR UPDATE;
END
$$;
-- +migrate StatementEnd

REVOKE ALL ON FUNCTION ledger.is_service, ledger.why_no_connection, ledger.why_no_metadata,
    ledger.why_no_form, ledger.why_no_subject, ledger.check_request,
    ledger.request, ledger.await_turn FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION
    ledger.append(text, bigint, uuid[], text[], integer[], bytea[], bytea[], boolean, bigint, text,
        bigint),
    ledger.append(text, bigint, uuid, text, integer, bytea, bytea, bigint),
    ledger.append_on_premise
    FROM ledger_operator;
GRANT USAGE ON SCHEMA ledger TO ledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.request TO ledger_operator, ledger_service, ledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.await_turn TO ledger_operator, ledger_service;
GRANT SELECT ON ledger.request_type, ledger.request_key
    TO ledger_viewer, ledger_operator, ledger_service;

-- +migrate Verify
SELECT NOT has_function_privilege('ledger_operator', oid, 'EXECUTE')
    AND NOT has_function_privilege('ledger_auditor', oid, 'EXECUTE')
FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace AND proname LIKE 'append%';
