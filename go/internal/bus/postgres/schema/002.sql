-- A role that may publish and read may also insert by itself, as the engine then does: functions
-- cost as much as inserting an event. Numbers are drawn by the default, which nobody may override.

ALTER TABLE fraiseql_subscriptions.outbox
    ALTER seq SET DEFAULT pg_catalog.nextval('fraiseql_subscriptions.outbox_seq');

CREATE OR REPLACE FUNCTION fraiseql_subscriptions.allow_publishing(role regrole) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA fraiseql_subscriptions TO %s', role);
    EXECUTE format('GRANT EXECUTE ON FUNCTION fraiseql_subscriptions.publish, fraiseql_subscriptions.publish_many, '
        'fraiseql_subscriptions.publish_batch, fraiseql_subscriptions.publish_change, fraiseql_subscriptions.watch, '
        'fraiseql_subscriptions.unwatch, fraiseql_subscriptions.check_event, fraiseql_subscriptions.wake_name TO %s', role);
    EXECUTE format('GRANT INSERT (id, channel, event_type, data, correlation_id, published_at) '
        'ON fraiseql_subscriptions.outbox TO %s', role);
    EXECUTE format('GRANT USAGE ON SEQUENCE fraiseql_subscriptions.outbox_seq TO %s', role);
END $$;

-- Those that were allowed to publish before.
SELECT fraiseql_subscriptions.allow_publishing(right_of.grantee::regrole)
FROM pg_catalog.pg_proc AS function, pg_catalog.aclexplode(function.proacl) AS right_of
WHERE function.oid = 'fraiseql_subscriptions.publish_batch'::regproc
    AND right_of.grantee NOT IN (0, function.proowner);
