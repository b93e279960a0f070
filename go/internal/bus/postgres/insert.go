package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Events with new ids are published by a role that may insert with statements of its own, in
// one round trip that is one transaction: the functions of the schema, which others need,
// cost about as much as inserting an event.
const (
	// announce holds the lock before insert draws numbers: see the function of that name.
	announce = `SELECT pg_catalog.pg_advisory_xact_lock_shared(1718579571, (last_value - CASE WHEN is_called THEN 0 ELSE 1 END)::bit(32)::integer)
FROM fraiseql_subscriptions.outbox_seq`
	insert = `INSERT INTO fraiseql_subscriptions.outbox (id, channel, event_type, data, correlation_id, published_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::text[], $6::timestamptz[]) RETURNING seq`
	// notifyOne is for the one channel of all events, notifyLast for the ids of the last event
	// of each.
	notifyOne = `SELECT pg_catalog.pg_notify(prefix, ''), pg_catalog.pg_notify(fraiseql_subscriptions.wake_name(prefix, $1::text),
	pg_catalog.currval('fraiseql_subscriptions.outbox_seq')::text) FROM fraiseql_subscriptions.settings`
	notifyLast = `SELECT pg_catalog.pg_notify(prefix, ''), pg_catalog.pg_notify(fraiseql_subscriptions.wake_name(prefix, channel), seq::text)
FROM fraiseql_subscriptions.settings, fraiseql_subscriptions.outbox WHERE id = ANY ($1::text[])`
)

// insertNew puts events into the outbox, none of which is there.
func (s *Server) insertNew(ctx context.Context, conn *pgx.Conn, all columns, asks bool) (done batch, err error) {
	statements := new(pgx.Batch)
	statements.Queue(announce)
	statements.Queue(insert, all.ids, all.channels, all.kinds, all.data, all.correlations, all.times).Query(func(found pgx.Rows) error {
		done.seqs = make([]int64, 0, len(all.ids))
		for found.Next() {
			var seq int64
			if err := found.Scan(&seq); err != nil {
				return err
			}
			done.seqs = append(done.seqs, seq)
		}
		return found.Err()
	})
	if asks {
		statements.Queue(readFinal).QueryRow(func(one pgx.Row) error { return one.Scan(&done.final) })
	}
	if last := all.lastOfEach(); len(last) == 1 {
		statements.Queue(notifyOne, all.channels[0])
	} else {
		statements.Queue(notifyLast, last)
	}
	err = conn.SendBatch(ctx, statements).Close()
	return done, err
}

// lastOfEach are the ids of the last event of each channel.
func (c *columns) lastOfEach() []string {
	only := true
	for _, one := range c.channels {
		only = only && one == c.channels[0]
	}
	if only {
		return c.ids[len(c.ids)-1:]
	}
	last := make(map[string]string)
	for i, one := range c.channels {
		last[one] = c.ids[i]
	}
	ids := make([]string, 0, len(last))
	for _, id := range last {
		ids = append(ids, id)
	}
	return ids
}
