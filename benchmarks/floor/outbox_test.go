package floor

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// outbox is the engine's table and indexes without the engine. It stays from run to run, and
// grows, as the engine's does.
const outbox = `CREATE SEQUENCE IF NOT EXISTS bare_seq;
CREATE TABLE IF NOT EXISTS bare_outbox (
	seq bigint PRIMARY KEY, id text NOT NULL UNIQUE, channel text NOT NULL, event_type text NOT NULL,
	data json NOT NULL, correlation_id text NOT NULL, published_at timestamptz NOT NULL
)`

// insert is the quickest of what was tried: rows of VALUES take longer from ten on, and
// COPY gives no numbers back.
const insert = `INSERT INTO bare_outbox SELECT nextval('bare_seq'), *
FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::text[], $6::timestamptz[]) RETURNING seq`

// BenchmarkOutbox is a program that publishes with nothing but pgx: a prepared INSERT of
// arrays and the notifications of the engine, in one transaction and one round trip.
// An operation is a batch. BENCH_URL is the database, BENCH_DATA an event's JSON.
func BenchmarkOutbox(b *testing.B) {
	url, data := os.Getenv("BENCH_URL"), os.Getenv("BENCH_DATA")
	if url == "" {
		b.Skip("BENCH_URL is not set: benchmarks/postgres_bus.py runs this")
	}
	for _, size := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ctx := context.Background()
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close(ctx)
			if _, err := conn.Exec(ctx, outbox); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := publish(ctx, conn, size, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func publish(ctx context.Context, conn *pgx.Conn, size int, data string) error {
	ids, channels, kinds, texts := make([]string, size), make([]string, size), make([]string, size), make([]string, size)
	times := make([]time.Time, size)
	for i := range size {
		ids[i], channels[i], kinds[i], texts[i] = uuid.Must(uuid.NewV7()).String(), "orders.eu", "shipped", data
		times[i] = time.Now()
	}
	batch := new(pgx.Batch)
	batch.Queue(insert, ids, channels, kinds, texts, ids, times).Query(func(rows pgx.Rows) error {
		seqs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err == nil && len(seqs) != size {
			err = fmt.Errorf("%d rows of %d", len(seqs), size)
		}
		return err
	})
	batch.Queue("SELECT pg_notify('bare_orders.eu', $1), pg_notify('bare', '')", "1")
	return conn.SendBatch(ctx, batch).Close()
}
