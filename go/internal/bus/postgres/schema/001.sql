-- The outbox and what publishes into it, reads it and prunes it.
--
-- Order: an event's place is `seq`. A transaction that publishes first takes a shared advisory
-- lock that names the newest seq at that time, its bound, and only then draws numbers. So a reader
-- that sees a gap can tell a number that was rolled back from one that is still on its way: see
-- horizon(), and docs/architecture.md for the proof.

CREATE TABLE fraiseql_subscriptions.settings (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch text NOT NULL DEFAULT substr(replace(gen_random_uuid()::text, '-', ''), 1, 10),
    -- Notifications are sent on `prefix` and on "prefix_channel".
    prefix text NOT NULL DEFAULT 'fraiseql'
        CHECK (prefix ~ '^[a-z][a-z0-9_]{0,19}$'),
    retention interval NOT NULL DEFAULT '3600 seconds' CHECK (retention > interval '0'),
    -- Events up to this seq may have been pruned.
    floor bigint NOT NULL DEFAULT 0
);
INSERT INTO fraiseql_subscriptions.settings DEFAULT VALUES;

-- One number after the other: no cache, no cycle.
CREATE SEQUENCE fraiseql_subscriptions.outbox_seq AS bigint CACHE 1 NO CYCLE;

CREATE TABLE fraiseql_subscriptions.outbox (
    seq bigint PRIMARY KEY,
    id text NOT NULL UNIQUE,
    channel text NOT NULL,
    event_type text NOT NULL,
    data json NOT NULL, -- as it was given: what jsonb would make of it is another text
    correlation_id text NOT NULL,
    published_at timestamptz NOT NULL
);

-- Up to which seq events had become final, and since when. Prune waits for the retention from
-- there on, so that an event whose transaction was open for hours is kept as long as any other.
CREATE TABLE fraiseql_subscriptions.mark (
    marked_at timestamptz PRIMARY KEY,
    seq bigint NOT NULL
);

-- Announces this transaction to readers, once, before it draws numbers. The setting is local to the
-- transaction, and like the lock it is undone by a rollback to a savepoint before it.
CREATE FUNCTION fraiseql_subscriptions.announce() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    mine constant text := pg_catalog.pg_current_xact_id()::text;
    bound bigint;
BEGIN
    IF pg_catalog.current_setting('fraiseql_subscriptions.announced', true) IS NOT DISTINCT FROM mine THEN
        RETURN;
    END IF;
    SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END INTO bound
    FROM fraiseql_subscriptions.outbox_seq;
    -- 1718579571 is "fqls"; the second key is the bound's low 32 bits.
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(1718579571, bound::bit(32)::integer);
    PERFORM pg_catalog.set_config('fraiseql_subscriptions.announced', mine, true);
END $$;

-- The newest number drawn (issued), and the one up to which every event is either visible to the
-- next snapshot or rolled back (final). holder is the process id of the session that holds final
-- back: null when none does, 0 for a prepared transaction. Statements after this one must see
-- a newer snapshot: READ COMMITTED.
CREATE FUNCTION fraiseql_subscriptions.horizon(OUT issued bigint, OUT final bigint, OUT holder integer)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END INTO issued
    FROM fraiseql_subscriptions.outbox_seq;
    -- Bounds are given by their low 32 bits, and lie within 2^31 of the number issued.
    SELECT issued - ((issued - locks.objid::bigint + 2147483648) & 4294967295) + 2147483648, coalesce(locks.pid, 0)
    INTO final, holder
    FROM pg_catalog.pg_locks AS locks
    WHERE locks.locktype = 'advisory' AND locks.objsubid = 2 AND locks.classid = 1718579571
        AND locks.granted
        AND locks.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    ORDER BY 1 LIMIT 1;
    IF final IS NULL OR final >= issued THEN
        final := issued;
        holder := NULL;
    END IF;
END $$;

-- Begins a new epoch, unless somebody has begun one since `known`; the one that is in force then.
-- For a reader that finds events gone which it has read: positions of the old epoch mean nothing.
CREATE FUNCTION fraiseql_subscriptions.renew_epoch(known text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE fraiseql_subscriptions.settings SET epoch = DEFAULT WHERE epoch = known;
    RETURN (SELECT epoch FROM fraiseql_subscriptions.settings);
END $$;

-- The name that an event on `channel` is notified on. A name has at most 63 bytes; a longer one gives
-- way to the prefix, "_#" and 32 hexadecimal digits of the channel's SHA-256.
CREATE FUNCTION fraiseql_subscriptions.wake_name(prefix text, channel text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$ -- as stable as convert_to, and not strict: so it is inlined
    SELECT CASE
        WHEN octet_length(prefix || '_' || channel) <= 63 THEN prefix || '_' || channel
        ELSE prefix || '_#' || substr(encode(sha256(convert_to(channel, 'UTF8')), 'hex'), 1, 32)
    END
$$;

-- A UUIDv7: ids in about the order of publishing keep their index compact.
CREATE FUNCTION fraiseql_subscriptions.new_id() RETURNS text
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid::text
$$;

-- Puts events into the outbox in the order of the arrays and gives their seqs. An id that the outbox
-- holds gets the seq that it has, and nothing is inserted for it: it is repeated, which is null where
-- none is. `fresh` says that no id can be there yet, which makes it cheaper; `announced` that announce
-- was called. `patience` is the transaction's lock_timeout in milliseconds. With `ask`, final is up to
-- where events are final by now. This is what the engine publishes with, with as few statements as
-- can be, planned once: planning costs as much as inserting. Applications use publish and
-- publish_many, which check what they are given.
CREATE FUNCTION fraiseql_subscriptions.publish_batch(
    ids text[], channels text[], event_types text[], data json[], correlation_ids text[],
    published_at timestamptz[], fresh boolean, announced boolean, patience text, wake boolean, ask boolean,
    OUT seqs bigint[], OUT repeated boolean[], OUT final bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    own bigint[];
BEGIN
    IF NOT announced THEN
        PERFORM pg_advisory_xact_lock_shared(1718579571, (last_value - CASE WHEN is_called THEN 0 ELSE 1 END)::bit(32)::integer)
        FROM fraiseql_subscriptions.outbox_seq;
    END IF;
    IF patience IS NOT NULL THEN
        PERFORM set_config('lock_timeout', patience, true);
    END IF;
    IF fresh THEN
        WITH inserted AS (
            INSERT INTO fraiseql_subscriptions.outbox
                (seq, id, channel, event_type, data, correlation_id, published_at)
            SELECT nextval('fraiseql_subscriptions.outbox_seq'), event.*
            FROM unnest(ids, channels, event_types, publish_batch.data, correlation_ids, publish_batch.published_at) AS event
            RETURNING seq
        )
        SELECT array_agg(seq) INTO seqs FROM inserted;
    ELSE
        WITH inserted AS (
            INSERT INTO fraiseql_subscriptions.outbox
                (seq, id, channel, event_type, data, correlation_id, published_at)
            SELECT nextval('fraiseql_subscriptions.outbox_seq'), event.*
            FROM unnest(ids, channels, event_types, publish_batch.data, correlation_ids, publish_batch.published_at) AS event
            ON CONFLICT (id) DO NOTHING
            RETURNING seq
        )
        SELECT array_agg(seq) INTO seqs FROM inserted;
        IF cardinality(seqs) IS DISTINCT FROM cardinality(ids) THEN
            own := seqs;
            SELECT array_agg(outbox.seq ORDER BY event.place), array_agg(outbox.seq <> ALL (coalesce(own, '{}')) ORDER BY event.place)
            INTO seqs, repeated
            FROM unnest(ids) WITH ORDINALITY AS event (id, place)
            JOIN fraiseql_subscriptions.outbox USING (id);
            IF cardinality(seqs) IS DISTINCT FROM cardinality(ids) THEN
                RAISE EXCEPTION 'an event of this batch was pruned while its id was looked up; publish again'
                    USING ERRCODE = 'serialization_failure';
            END IF;
        END IF;
    END IF;
    IF ask THEN
        SELECT horizon.final INTO final FROM fraiseql_subscriptions.horizon();
    END IF;
    IF NOT wake THEN
        RETURN;
    ELSIF channels[1] = ALL (channels) THEN -- often, and at a fraction of the cost
        PERFORM pg_notify(prefix, ''),
            pg_notify(fraiseql_subscriptions.wake_name(prefix, channels[1]), seqs[cardinality(seqs)]::text)
        FROM fraiseql_subscriptions.settings;
    ELSE
        PERFORM pg_notify(prefix, ''), pg_notify(fraiseql_subscriptions.wake_name(prefix, event.channel), max(event.seq)::text)
        FROM fraiseql_subscriptions.settings, unnest(channels, seqs) AS event (channel, seq) GROUP BY prefix, event.channel;
    END IF;
END $$;

-- Refuses what is no event. Errors have the class 22023 (invalid_parameter_value).
CREATE FUNCTION fraiseql_subscriptions.check_event(channel text, event_type text, data jsonb, event_id text)
RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF channel IS NULL OR channel ~ '[*>[:space:][:cntrl:]\u0080-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
        OR channel !~ '^[^.:]+([.:][^.:]+)*$'
        OR octet_length(channel) > 255 THEN
        RAISE EXCEPTION 'fraiseql_subscriptions: the channel % cannot be published on', coalesce(quote_literal(left(channel, 64)), 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'A channel is segments separated by . or : without *, >, white space and control characters, in at most 255 bytes.';
    ELSIF event_type IS NULL OR event_type = '' THEN
        RAISE EXCEPTION 'fraiseql_subscriptions: the event_type is missing or empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name the kind of event, such as orderUpdated.';
    ELSIF data IS NULL OR jsonb_typeof(data) <> 'object' THEN
        RAISE EXCEPTION 'fraiseql_subscriptions: the data is %, not a JSON object', coalesce(jsonb_typeof(data), 'missing')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give one object, such as jsonb_build_object(''id'', 1).';
    ELSIF event_id = '' OR octet_length(event_id) > 255 THEN
        RAISE EXCEPTION 'fraiseql_subscriptions: the event_id has % bytes', octet_length(event_id)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'An id has 1 to 255 bytes; leave it out for a new one.';
    END IF;
END $$;

-- The position of a client that has received the event `seq`, and of the others what is final: events
-- with lower numbers may be committed later, and must not be missed by who resumes from here.
CREATE FUNCTION fraiseql_subscriptions.position_of(epoch text, final bigint, seq bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT epoch || ':' || CASE WHEN seq > final + 1 THEN 'u' || final || '+' || seq ELSE seq::text END
$$;

-- Publishes an event with this transaction: it is delivered when the transaction commits, and never
-- if it rolls back. Returns the event's position. An event_id that was published within the
-- retention is accepted without a second delivery. wake => false sends no notification, which
-- PREPARE TRANSACTION needs: readers then find the event when they next poll.
CREATE FUNCTION fraiseql_subscriptions.publish(
    channel text, event_type text, data jsonb, correlation_id text DEFAULT NULL,
    event_id text DEFAULT NULL, wake boolean DEFAULT true
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chosen constant text := coalesce(event_id, fraiseql_subscriptions.new_id());
    seqs bigint[];
    epoch text;
    final bigint;
BEGIN
    PERFORM fraiseql_subscriptions.check_event(channel, event_type, data, event_id), fraiseql_subscriptions.announce();
    SELECT batch.seqs, batch.final INTO seqs, final FROM fraiseql_subscriptions.publish_batch(
        ARRAY[chosen], ARRAY[channel], ARRAY[event_type], ARRAY[data::json],
        ARRAY[coalesce(correlation_id, chosen)], ARRAY[clock_timestamp()], event_id IS NULL, true, NULL, wake, true) AS batch;
    SELECT settings.epoch INTO epoch FROM fraiseql_subscriptions.settings;
    RETURN fraiseql_subscriptions.position_of(epoch, final, seqs[1]);
END $$;

-- Publishes the events of a JSON array in its order and returns their positions. Each is an object
-- with channel, event_type, data and, optionally, correlation_id and event_id.
CREATE FUNCTION fraiseql_subscriptions.publish_many(events jsonb, wake boolean DEFAULT true) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    stray text;
    seqs bigint[];
BEGIN
    IF events IS NULL OR jsonb_typeof(events) <> 'array' THEN
        RAISE EXCEPTION 'fraiseql_subscriptions: publish_many takes a JSON array, not %', coalesce(jsonb_typeof(events), 'null')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF jsonb_array_length(events) = 0 THEN
        RETURN ARRAY[]::text[];
    END IF;
    SELECT left(event::text, 64) INTO stray FROM jsonb_array_elements(events) AS event
    WHERE jsonb_typeof(event) <> 'object' LIMIT 1;
    IF stray IS NULL THEN
        SELECT left(key, 64) INTO stray FROM jsonb_array_elements(events) AS event, jsonb_object_keys(event) AS key
        WHERE key NOT IN ('channel', 'event_type', 'data', 'correlation_id', 'event_id') LIMIT 1;
    END IF;
    IF stray IS NOT NULL THEN
        RAISE EXCEPTION 'fraiseql_subscriptions: publish_many does not know %', quote_literal(stray)
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'An event is an object with channel, event_type, data and, optionally, correlation_id and event_id.';
    END IF;
    PERFORM fraiseql_subscriptions.check_event(event ->> 'channel', event ->> 'event_type', event -> 'data', event ->> 'event_id')
    FROM jsonb_array_elements(events) AS event;
    PERFORM fraiseql_subscriptions.announce();
    SELECT (fraiseql_subscriptions.publish_batch(
        array_agg(chosen ORDER BY place), array_agg(event ->> 'channel' ORDER BY place),
        array_agg(event ->> 'event_type' ORDER BY place), array_agg((event -> 'data')::json ORDER BY place),
        array_agg(coalesce(event ->> 'correlation_id', chosen) ORDER BY place),
        array_agg(clock_timestamp() ORDER BY place), bool_and(event ->> 'event_id' IS NULL), true, NULL, wake, false)).seqs
    INTO seqs
    FROM (
        SELECT event, place, coalesce(event ->> 'event_id', fraiseql_subscriptions.new_id()) AS chosen
        FROM jsonb_array_elements(events) WITH ORDINALITY AS element (event, place)
        OFFSET 0 -- an id is made once
    ) AS numbered;
    RETURN ARRAY(SELECT fraiseql_subscriptions.position_of(epoch, final, one.seq)
        FROM fraiseql_subscriptions.settings, fraiseql_subscriptions.horizon(),
            unnest(seqs) WITH ORDINALITY AS one (seq, place) ORDER BY place);
END $$;

-- A trigger function, for rows: publishes what becomes of each. The event's data is the row (the
-- old one of a DELETE), its type the table's name and _inserted, _updated or _deleted, its channel the
-- trigger's argument, or the table's name. As the definer, since whoever may change the table need
-- not be allowed to publish anything else.
CREATE FUNCTION fraiseql_subscriptions.publish_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM fraiseql_subscriptions.publish(
        coalesce(TG_ARGV[0], TG_TABLE_NAME),
        TG_TABLE_NAME || CASE TG_OP WHEN 'INSERT' THEN '_inserted' WHEN 'UPDATE' THEN '_updated' ELSE '_deleted' END,
        CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END);
    RETURN NULL;
END $$;

-- Makes the trigger on a table: its row changes are published on `channel`.
CREATE FUNCTION fraiseql_subscriptions.watch(watched regclass, channel text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fraiseql_subscriptions.check_event(
        coalesce(channel, (SELECT relname FROM pg_catalog.pg_class WHERE oid = watched)), 'change', '{}', NULL);
    PERFORM fraiseql_subscriptions.unwatch(watched);
    EXECUTE format('CREATE TRIGGER fraiseql_subscriptions AFTER INSERT OR UPDATE OR DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION fraiseql_subscriptions.publish_change(%s)', watched, quote_literal(channel));
END $$;

CREATE FUNCTION fraiseql_subscriptions.unwatch(watched regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = watched AND tgname = 'fraiseql_subscriptions') THEN
        EXECUTE format('DROP TRIGGER fraiseql_subscriptions ON %s', watched);
    END IF;
END $$;

-- Deletes at most `most` events that have been final for longer than the retention; how many. Any
-- number of processes may call it, and one at a time does something.
CREATE FUNCTION fraiseql_subscriptions.prune(most integer DEFAULT 5000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    keep interval;
    pruned bigint;
    newest timestamptz;
    due bigint;
    deleted integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1718579572, 0) THEN
        RETURN 0;
    END IF;
    SELECT retention, floor INTO keep, pruned FROM fraiseql_subscriptions.settings;
    SELECT max(marked_at) INTO newest FROM fraiseql_subscriptions.mark;
    IF newest IS NULL OR clock_timestamp() - newest >= keep / 60 THEN
        INSERT INTO fraiseql_subscriptions.mark (marked_at, seq)
        SELECT clock_timestamp(), final FROM fraiseql_subscriptions.horizon();
    END IF;
    SELECT max(seq) INTO due FROM fraiseql_subscriptions.mark WHERE marked_at < clock_timestamp() - keep;
    IF due IS NULL THEN
        RETURN 0;
    END IF;
    -- No further than `most` events in one transaction.
    SELECT coalesce(max(seq), due) INTO due FROM (
        SELECT seq FROM fraiseql_subscriptions.outbox
        WHERE seq > pruned AND seq <= due ORDER BY seq LIMIT most) AS batch;
    DELETE FROM fraiseql_subscriptions.outbox WHERE seq > pruned AND seq <= due;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    UPDATE fraiseql_subscriptions.settings SET floor = due WHERE floor < due;
    IF deleted < most THEN
        DELETE FROM fraiseql_subscriptions.mark WHERE seq <= due AND marked_at < clock_timestamp() - keep;
    END IF;
    RETURN deleted;
END $$;

-- What a role that publishes needs, and what one that reads needs (the engine does both).
CREATE FUNCTION fraiseql_subscriptions.allow_publishing(role regrole) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA fraiseql_subscriptions TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION fraiseql_subscriptions.publish, fraiseql_subscriptions.publish_many, '
        'fraiseql_subscriptions.publish_batch, fraiseql_subscriptions.publish_change, fraiseql_subscriptions.watch, '
        'fraiseql_subscriptions.unwatch, fraiseql_subscriptions.check_event TO %s', role);
END $$;

CREATE FUNCTION fraiseql_subscriptions.allow_reading(role regrole) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA fraiseql_subscriptions TO %s', role);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA fraiseql_subscriptions TO %s', role);
    EXECUTE format('GRANT SELECT ON SEQUENCE fraiseql_subscriptions.outbox_seq TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION fraiseql_subscriptions.horizon, fraiseql_subscriptions.prune, '
        'fraiseql_subscriptions.renew_epoch TO %s', role);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA fraiseql_subscriptions FROM PUBLIC;
