package postgres

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// TestArgumentsAreEncodedAsPgxEncodesThem byte by byte.
func TestArgumentsAreEncodedAsPgxEncodesThem(t *testing.T) {
	events := []*event.Event{
		{ID: "one", Channel: "orders.eu", Type: "x", CorrelationID: "", Data: []byte(`{}`), Timestamp: 0},
		{ID: "two", Channel: "Ærøskøbing", Type: "", CorrelationID: "c", Data: []byte(` {"a" : [1, "é"]}`), Timestamp: 946684800},
		{ID: strings.Repeat("x", 70_000), Channel: "a", Type: "y", CorrelationID: "c", Data: []byte(`[]`), Timestamp: 1700000000.123},
		{ID: "", Channel: "", Type: "", CorrelationID: "", Data: nil, Timestamp: -1},
	}
	var a arguments
	encode(&a, events)
	a.text("orders.eu")
	a.text("")
	got := a.values()
	all := columnsOf(events)
	known := pgtype.NewMap()
	for i, one := range []struct {
		oid   uint32
		value any
	}{
		{pgtype.TextArrayOID, all.ids},
		{pgtype.TextArrayOID, all.channels},
		{pgtype.TextArrayOID, all.kinds},
		{pgtype.JSONArrayOID, all.data},
		{pgtype.TextArrayOID, all.correlations},
		{pgtype.TimestamptzArrayOID, all.times},
		{pgtype.TextOID, "orders.eu"},
		{pgtype.TextOID, ""},
	} {
		want, err := known.Encode(one.oid, pgtype.BinaryFormatCode, one.value, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[i], want) {
			t.Errorf("argument %d is %.100q, want %.100q", i, got[i], want)
		}
	}
}

// TestRecycledArgumentsAreEmpty, and large ones are let go.
func TestRecycledArgumentsAreEmpty(t *testing.T) {
	for _, size := range []int{1, mostSpareBytes + 1} {
		a := newArguments()
		if len(a.values()) != 0 || cap(a.bytes) > mostSpareBytes {
			t.Fatalf("%d arguments, room for %d bytes", len(a.values()), cap(a.bytes))
		}
		a.text(strings.Repeat("x", size))
		a.recycle()
	}
}

// TestStatementsThatSomebodyDeallocatedArePreparedAgain on the next connection: nothing was
// accepted, and publishing again works.
func TestStatementsThatSomebodyDeallocatedArePreparedAgain(t *testing.T) {
	database := newDatabase(t)
	s := openServer(t, Options{URL: server.URL(database), Connections: 1})
	first := request("first", "{}")
	s.Publish(t.Context(), []*remote.Request{first})
	conn, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "DEALLOCATE ALL", pgx.QueryExecModeExec)
	conn.Release()
	if err != nil {
		t.Fatal(err)
	}
	second := request("second", "{}")
	s.Publish(t.Context(), []*remote.Request{second})
	if first.Err != nil || second.Err == nil || errors.As(second.Err, new(*fault.Error)) || len(second.Positions) > 0 {
		t.Fatalf("%v, then %v at %v", first.Err, second.Err, second.Positions)
	}
	s.Publish(t.Context(), []*remote.Request{second})
	if second.Err != nil {
		t.Error(second.Err)
	}
	if got := outbox(t, connect(t, database)); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("the outbox has %v", got)
	}
}
