package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Events with new ids are published by a role that may insert with statements of its own, in
// one round trip that is one transaction: the functions of the schema, which others need,
// cost about as much as inserting an event.
var (
	// announce holds the lock before insert draws numbers: see the function of that name.
	announce = statement{"fraiseql_announce", `SELECT pg_catalog.pg_advisory_xact_lock_shared(1718579571, (last_value - CASE WHEN is_called THEN 0 ELSE 1 END)::bit(32)::integer)
FROM fraiseql_subscriptions.outbox_seq`}
	insert = statement{"fraiseql_insert", `INSERT INTO fraiseql_subscriptions.outbox (id, channel, event_type, data, correlation_id, published_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::text[], $6::timestamptz[]) RETURNING seq`}
	askFinal = statement{"fraiseql_final", readFinal}
	// notifyOne is for the one channel of all events, notifyLast for the ids of the last event
	// of each.
	notifyOne = statement{"fraiseql_notify_one", `SELECT pg_catalog.pg_notify(prefix, ''), pg_catalog.pg_notify(fraiseql_subscriptions.wake_name(prefix, $1::text),
	pg_catalog.currval('fraiseql_subscriptions.outbox_seq')::text) FROM fraiseql_subscriptions.settings`}
	notifyLast = statement{"fraiseql_notify_last", `SELECT pg_catalog.pg_notify(prefix, ''), pg_catalog.pg_notify(fraiseql_subscriptions.wake_name(prefix, channel), seq::text)
FROM fraiseql_subscriptions.settings, fraiseql_subscriptions.outbox WHERE id = ANY ($1::text[])`}
)

// insertNew puts events into the outbox, none of which is there.
func (s *Server) insertNew(ctx context.Context, conn *pgx.Conn, events []*event.Event, asks bool) (done batch, err error) {
	done.seqs = make([]int64, 0, len(events))
	rows, whom := newArguments(), newArguments()
	defer rows.recycle()
	defer whom.recycle()
	encode(rows, events)
	statements := round{{announce, nil, nil}, {insert, rows, func(seq int64) { done.seqs = append(done.seqs, seq) }}}
	if asks {
		statements = append(statements, query{askFinal, nil, func(final int64) { done.final = uint64(final) }})
	}
	if last := lastOfEach(events); len(last) == 1 {
		whom.text(last[0].Channel)
		statements = append(statements, query{notifyOne, whom, nil})
	} else {
		column(whom, pgtype.TextOID, last, idOf)
		statements = append(statements, query{notifyLast, whom, nil})
	}
	err = statements.run(ctx, conn)
	return done, err
}

func idOf(ev *event.Event) string { return ev.ID }

// encode adds events as insert takes them.
func encode(rows *arguments, events []*event.Event) {
	column(rows, pgtype.TextOID, events, idOf)
	column(rows, pgtype.TextOID, events, func(ev *event.Event) string { return ev.Channel })
	column(rows, pgtype.TextOID, events, func(ev *event.Event) string { return ev.Type })
	column(rows, pgtype.JSONOID, events, func(ev *event.Event) []byte { return ev.Data })
	column(rows, pgtype.TextOID, events, func(ev *event.Event) string { return ev.CorrelationID })
	rows.times(events)
}

// round is statements that go to the server together and are one transaction. Their results, if
// anybody reads them, are of one bigint each.
type round []query

type query struct {
	statement statement
	arguments *arguments // nil: none
	read      func(int64)
}

func (r round) run(ctx context.Context, conn *pgx.Conn) error {
	prepared, err := prepare(ctx, conn)
	if err != nil {
		return err
	}
	pipeline := conn.PgConn().StartPipeline(ctx)
	conn.PgConn().Frontend().Send(r.room())
	for _, one := range r {
		pipeline.SendQueryStatement(prepared[one.statement.name], one.arguments.values(), binaryFormat, binaryFormat)
	}
	err = pipeline.Sync()
	for i := 0; err == nil && i < len(r); i++ {
		err = r[i].results(pipeline)
	}
	// Closing reads what is left, in which the commit may fail.
	if closing := pipeline.Close(); err == nil {
		err = closing
	}
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == unknownStatement {
		// Somebody has deallocated what was prepared: the next connection has it.
		err = errors.Join(err, conn.Close(ctx))
	}
	return err
}

// room lets pgx's buffer grow once to what the round needs.
func (r round) room() room {
	const ofAStatement = 128 // its messages, less the arguments
	bytes := room(len(r) * ofAStatement)
	for _, one := range r {
		if one.arguments != nil {
			bytes += room(len(one.arguments.bytes))
		}
	}
	return bytes
}

// room is no message: so many bytes, which those that follow will have.
type room int

// Frontend implements pgproto3.FrontendMessage.
func (room) Frontend() {}

// Decode implements pgproto3.Message.
func (room) Decode([]byte) error { return errors.ErrUnsupported }

// Encode implements pgproto3.Message.
func (r room) Encode(dst []byte) ([]byte, error) { return slices.Grow(dst, int(r)), nil }

// results reads the next results of a pipeline.
func (q *query) results(pipeline *pgconn.Pipeline) error {
	results, err := pipeline.GetResults()
	if err != nil {
		return err
	}
	rows, ok := results.(*pgconn.ResultReader)
	if !ok {
		return fmt.Errorf("%T is no result of a statement", results)
	}
	for rows.NextRow() {
		if q.read == nil {
			continue
		}
		value := rows.Values()[0]
		if len(value) != 8 {
			return fmt.Errorf("%d bytes are no bigint", len(value))
		}
		q.read(int64(binary.BigEndian.Uint64(value)))
	}
	_, err = rows.Close()
	return err
}

// lastOfEach are the last events of each channel.
func lastOfEach(events []*event.Event) []*event.Event {
	newest := events[len(events)-1]
	if !slices.ContainsFunc(events, func(ev *event.Event) bool { return ev.Channel != newest.Channel }) {
		return []*event.Event{newest}
	}
	last := make(map[string]*event.Event)
	for _, ev := range events {
		last[ev.Channel] = ev
	}
	return slices.Collect(maps.Values(last))
}
