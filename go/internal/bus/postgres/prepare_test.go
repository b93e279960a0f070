package postgres

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
)

// counted counts what is written to a connection, each of which waits for an answer here.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func TestAllStatementsArePreparedInOneRoundTripAndOnce(t *testing.T) {
	config, err := pgx.ParseConfig(server.URL(newDatabase(t)))
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return counted{conn, &writes}, err
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, want := range []int64{1, 0} {
		before := writes.Load()
		all, err := prepare(t.Context(), conn)
		if err != nil || len(all) != 5 || writes.Load()-before != want {
			t.Errorf("%d statements, %d round trips, error %v", len(all), writes.Load()-before, err)
		}
	}
}

// TestWhatCannotBePreparedIsNotDoubtful: preparing an INSERT waits for whoever locks the table.
func TestWhatCannotBePreparedIsNotDoubtful(t *testing.T) {
	database := newDatabase(t)
	s := openServer(t, Options{URL: server.URL(database), Connections: 1})
	holder := connect(t, database)
	must(t, holder, "BEGIN")
	must(t, holder, "LOCK TABLE fraiseql_subscriptions.outbox IN EXCLUSIVE MODE")
	one := request("one", "{}")
	publish := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		s.Publish(ctx, []*remote.Request{one})
	}
	publish()
	if s.pool.Stat().NewConnsCount() != 1 || one.Err == nil || errors.Is(one.Err, remote.ErrDoubtful) || !words(one.Err, "timeout") {
		t.Errorf("with the table locked: %v", one.Err)
	}
	must(t, holder, "COMMIT")
	until(t, "the event to be accepted", func() bool {
		publish()
		return one.Err == nil
	})
	if got := outbox(t, holder); !slices.Equal(got, []string{"one"}) {
		t.Errorf("the outbox has %v", got)
	}
}
