// Command outbox publishes into PostgreSQL with nothing but pgx: the same rows, the same
// two indexes, the same notifications and batches as the engine, a prepared INSERT of
// arrays, one transaction and one round trip a batch.
//
// usage: outbox URL DATA
//
// It reads lines "SIZE BATCHES CONNECTIONS" and answers each with the nanoseconds that it took to
// publish so many batches of so many events with the JSON DATA, on so many connections.
package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// outbox is the engine's table and indexes without the engine.
const outbox = `CREATE SEQUENCE bare_seq;
CREATE TABLE bare_outbox (
	seq bigint PRIMARY KEY, id text NOT NULL UNIQUE, channel text NOT NULL, event_type text NOT NULL,
	data json NOT NULL, correlation_id text NOT NULL, published_at timestamptz NOT NULL
)`

// insert is the quickest of what was tried: rows of VALUES take longer from ten on, and
// COPY gives no numbers back.
const insert = `INSERT INTO bare_outbox SELECT nextval('bare_seq'), *
FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::text[], $6::timestamptz[]) RETURNING seq`

// most is how many connections there are.
const most = 2

func main() {
	ctx := context.Background()
	var conns []*pgx.Conn
	for range most {
		conn, err := pgx.Connect(ctx, os.Args[1])
		if err != nil {
			log.Fatal(err)
		}
		conns = append(conns, conn)
	}
	_, err := conns[0].Exec(ctx, outbox)
	for lines := bufio.NewScanner(os.Stdin); err == nil && lines.Scan(); {
		var size, batches, connections int
		if _, err = fmt.Sscan(lines.Text(), &size, &batches, &connections); err != nil {
			break
		}
		begin := time.Now()
		if err = publishAll(ctx, conns[:connections], size, batches); err == nil {
			fmt.Println(time.Since(begin).Nanoseconds())
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

// publishAll shares the batches between the connections.
func publishAll(ctx context.Context, conns []*pgx.Conn, size, batches int) error {
	failures := make(chan error, len(conns))
	for _, conn := range conns {
		go func() {
			var err error
			for range batches / len(conns) {
				if err = publish(ctx, conn, size, os.Args[2]); err != nil {
					break
				}
			}
			failures <- err
		}()
	}
	var failed error
	for range conns {
		failed = cmp.Or(<-failures, failed)
	}
	return failed
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
