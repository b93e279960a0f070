package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/postgres/received"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

var batches = []int{1, 16, 256}

var payload = []byte(`{"id":123456,"status":"paid","total":99.5,"customer":{"id":77,"country":"DE"},"items":[{"sku":"A-1","n":2}],"note":"` + strings.Repeat("x", 80) + `"}`)

func benchEvents(n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		id := uuid.Must(uuid.NewV7()).String()
		events[i] = &event.Event{ID: id, Type: "orderUpdated", Channel: "orders.eu", CorrelationID: id, Data: payload, Timestamp: 1700000000}
	}
	return events
}

func BenchmarkPublishing(b *testing.B) {
	for _, n := range batches {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openServer(b, Options{URL: server.URL(newDatabase(b))})
			b.ResetTimer()
			for range b.N {
				requests := make([]*remote.Request, n)
				for i, ev := range benchEvents(n) {
					requests[i] = &remote.Request{Events: []*event.Event{ev}}
				}
				s.Publish(b.Context(), requests)
				for _, r := range requests {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkBarePublishing is a program with nothing but pgx, a table with the same rows
// and indexes and the same batches: a prepared INSERT of arrays, and a notification.
func BenchmarkBarePublishing(b *testing.B) {
	for _, notify := range []bool{true, false} {
		for _, n := range batches {
			b.Run(fmt.Sprintf("notify=%v/%d", notify, n), func(b *testing.B) {
				conn := connect(b, newDatabase(b))
				b.ResetTimer()
				for range b.N {
					if err := publishBare(b, conn, benchEvents(n), notify); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

func publishBare(b testing.TB, conn *pgx.Conn, events []*event.Event, notify bool) error {
	n := len(events)
	ids, channels, kinds, data, correlations := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	times := make([]time.Time, n)
	for i, ev := range events {
		ids[i], channels[i], kinds[i], data[i], correlations[i] = ev.ID, ev.Channel, ev.Type, string(ev.Data), ev.CorrelationID
		times[i] = time.UnixMilli(int64(ev.Timestamp * 1000))
	}
	batch := new(pgx.Batch)
	batch.Queue(`INSERT INTO fraiseql_subscriptions.outbox (seq, id, channel, event_type, data, correlation_id, published_at)
		SELECT nextval('fraiseql_subscriptions.outbox_seq'), * FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::text[], $6::timestamptz[])
		RETURNING seq`, ids, channels, kinds, data, correlations, times).Query(func(rows pgx.Rows) error {
		seqs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err == nil && len(seqs) != n {
			err = fmt.Errorf("%d of %d", len(seqs), n)
		}
		return err
	})
	if notify {
		batch.Queue("SELECT pg_notify('fraiseql_orders.eu', $1), pg_notify('fraiseql', '')", "1")
	}
	return conn.SendBatch(b.Context(), batch).Close()
}

// BenchmarkResume asks a full outbox for what came on some of 1,000 channels, after the half of
// it and shortly before its end: with the table as it is, and with an index by channel.
func BenchmarkResume(b *testing.B) {
	const rows = 1_000_000
	database := newDatabase(b)
	conn := connect(b, database)
	must(b, conn, `INSERT INTO fraiseql_subscriptions.outbox (id, channel, event_type, data, correlation_id, published_at)
		SELECT 'id' || n, 'orders.' || n % 1000, 'shipped', $1::text::json, 'c', now() FROM generate_series(1, $2::int) AS n`, string(payload), rows)
	must(b, conn, "VACUUM ANALYZE fraiseql_subscriptions.outbox")
	for _, index := range []bool{false, true} {
		if index {
			must(b, conn, "CREATE INDEX ON fraiseql_subscriptions.outbox (channel, seq)")
		}
		s := openServer(b, Options{URL: server.URL(database)})
		until, err := s.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, wanted := range []int{1, 10, 100} {
			var patterns []channel.Pattern
			for i := range wanted {
				patterns = append(patterns, bustest.Patterns(b, fmt.Sprint("orders.", 7*i))...)
			}
			for _, missed := range []int{rows / 2, rows / 100} {
				b.Run(fmt.Sprintf("index=%v/channels=%d/missed=%d", index, wanted, missed), func(b *testing.B) {
					since := received.Set{UpTo: uint64(rows - missed)}.Position(s.epochName())
					for range b.N {
						items, err := s.History(b.Context(), since, until, patterns)
						if err != nil || len(items) != wanted*missed/1000 {
							b.Fatalf("%d events: %v", len(items), err)
						}
					}
				})
			}
		}
	}
}
