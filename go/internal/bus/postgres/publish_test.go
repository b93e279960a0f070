package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// openServer opens a server alone, without a bus.
func openServer(t testing.TB, options Options) *Server {
	t.Helper()
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// request is a request of one event with data of its own.
func request(id string, data string) *remote.Request {
	ev := &event.Event{ID: id, Type: "x", Channel: "a", CorrelationID: "c", Data: []byte(data), Timestamp: 1700000000.25}
	return &remote.Request{Events: []*event.Event{ev}, Err: errors.New("not set")}
}

func TestWhatTheDatabaseRefusesFailsAloneAndWithAName(t *testing.T) {
	database := newDatabase(t)
	s := openServer(t, Options{URL: server.URL(database)})
	bad := map[int]*remote.Request{
		3: request("bad json", `{"a":`), 4: request("latin", "{\"a\":\"\xff\"}"), 10: request(strings.Repeat("é", 128), "{}"),
		17: request("nul\x00", "{}"), 19: request("nul in data", "{\"a\":\"\x00\"}"),
	}
	bad[12] = request("nul in channel", "{}")
	bad[12].Events[0].Channel = "a\x00"
	var requests []*remote.Request
	for i := range 20 {
		if r := bad[i]; r != nil {
			requests = append(requests, r)
		} else {
			requests = append(requests, request(fmt.Sprint("good", i), `{"a":"\u0000","b":1e400,"b":[]}`))
		}
	}
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		switch {
		case bad[i] == nil && (r.Err != nil || len(r.Positions) != 1):
			t.Errorf("request %d: %v at %v", i, r.Err, r.Positions)
		case bad[i] != nil && (fault.CodeOf(r.Err) != fault.InvalidValue || len(r.Positions) > 0):
			t.Errorf("request %d: %v at %v", i, r.Err, r.Positions)
		}
	}
	if got := len(outbox(t, connect(t, database))); got != len(requests)-len(bad) {
		t.Errorf("the outbox has %d events", got)
	}
	var data, correlation string
	var at time.Time
	if err := connect(t, database).QueryRow(t.Context(), "SELECT data::text, correlation_id, published_at FROM fraiseql_subscriptions.outbox WHERE id = 'good0'").Scan(&data, &correlation, &at); err != nil {
		t.Fatal(err)
	}
	if data != `{"a":"\u0000","b":1e400,"b":[]}` || correlation != "c" || !at.Equal(time.UnixMilli(1700000000250)) {
		t.Errorf("stored %s, %s, %v", data, correlation, at)
	}
}

func TestARequestIsAcceptedWholeOrNotAtAll(t *testing.T) {
	database := newDatabase(t)
	s := openServer(t, Options{URL: server.URL(database)})
	r := request("one", "{}")
	r.Events = append(r.Events, request("two", "{").Events[0])
	alone := request("three", "{}")
	s.Publish(t.Context(), []*remote.Request{r, alone})
	if fault.CodeOf(r.Err) != fault.InvalidValue || alone.Err != nil {
		t.Errorf("%v, %v", r.Err, alone.Err)
	}
	if got := outbox(t, connect(t, database)); !slices.Equal(got, []string{"three"}) {
		t.Errorf("the outbox has %v", got)
	}
}

func TestAnIDThatWasAcceptedKeepsItsPosition(t *testing.T) {
	database := newDatabase(t)
	s := openServer(t, Options{URL: server.URL(database)})
	first := []*remote.Request{request("one", "{}"), request("two", "{}")}
	s.Publish(t.Context(), first)
	again := []*remote.Request{request("two", "{}"), request("three", "{}"), request("three", "{}"), request("one", "{}")}
	again[3].Doubtful = true
	s.Publish(t.Context(), again)
	var at []uint64
	var repeated []bool
	for _, r := range append(first, again...) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		at = append(at, r.Positions[0].Offset)
		repeated = append(repeated, r.Repeated != nil && r.Repeated[0])
	}
	// Of two in one batch, neither had been accepted before; of one in doubt nobody knows.
	if at[2] != at[1] || at[5] != at[0] || at[3] != at[4] || at[3] <= at[1] || !slices.Equal(repeated, []bool{false, false, true, false, false, false}) {
		t.Errorf("accepted at %v, repeated %v", at, repeated)
	}
	if got := outbox(t, connect(t, database)); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("the outbox has %v", got)
	}
}

func TestLargeBatchesKeepTheirOrder(t *testing.T) {
	database := newDatabase(t)
	s := openServer(t, Options{URL: server.URL(database)})
	var requests []*remote.Request
	var want []string
	for i := range 2500 {
		data := "{}"
		if i%100 == 0 {
			data = `{"a":"` + strings.Repeat("x", 300_000) + `"}`
		}
		r := request(fmt.Sprint(i), data)
		if i%50 == 0 {
			r.Events = append(r.Events, request(fmt.Sprint(i, "+"), "{}").Events[0])
		}
		for _, ev := range r.Events {
			want = append(want, ev.ID)
		}
		requests = append(requests, r)
	}
	s.Publish(t.Context(), requests)
	for _, r := range requests {
		if r.Err != nil || len(r.Positions) != len(r.Events) {
			t.Fatalf("%v, %d positions", r.Err, len(r.Positions))
		}
	}
	if got := outbox(t, connect(t, database)); !slices.Equal(got, want) {
		t.Errorf("%d events in another order than the %d published", len(got), len(want))
	}
}

// TestAnIDInAnOpenTransactionHoldsUpNobodyElse lets an application have published an
// event and not committed, when the engine publishes the same id among others.
func TestAnIDInAnOpenTransactionHoldsUpNobodyElse(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	long := connect(t, database)
	must(t, long, "BEGIN")
	must(t, long, "SELECT fraiseql_subscriptions.publish('a', 'first', '{}', event_id => 'one')")
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if at, err := n.publish(t, "again", "a", "one", bus.WaitDispatched); err != nil || at.Offset != 1 {
			t.Errorf("the same id: at %v, error %v", at, err)
		}
	})
	for i := range 5 {
		if _, err := n.publish(t, "other", "b", "", bus.WaitAccepted); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	must(t, long, "COMMIT")
	waiting.Wait()
	n.awaitKinds(t, "first other other other other other")
}

func TestAnIDThatIsRolledBackElsewhereIsAcceptedThen(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	long := connect(t, database)
	must(t, long, "BEGIN")
	must(t, long, "SELECT fraiseql_subscriptions.publish('a', 'first', '{}', event_id => 'one')")
	ended := bustest.Started(func() {
		if _, err := n.publish(t, "again", "a", "one", bus.WaitDispatched); err != nil {
			t.Error(err)
		}
	})
	waits := connect(t, database)
	until(t, "the publisher to wait for the transaction", func() bool {
		var some bool
		if err := waits.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')").Scan(&some); err != nil {
			t.Fatal(err)
		}
		return some
	})
	must(t, long, "ROLLBACK")
	bustest.Receive(t, ended, "the publisher")
	n.awaitKinds(t, "again")
}

func TestADatabaseOfAnotherEncodingRefusesWhatItCannotHold(t *testing.T) {
	admin := connect(t, "postgres")
	must(t, admin, "DROP DATABASE IF EXISTS latin1")
	must(t, admin, "CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0")
	install(t, "latin1")
	n := openNode(t, Options{URL: server.URL("latin1")})
	thread := new(bus.Thread)
	publish := func(data string) error {
		ev, err := event.New("x", "a", []byte(data), "", "")
		if err != nil {
			t.Fatal(err)
		}
		receipts, err := n.bus.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
		if err != nil {
			t.Fatal(err)
		}
		n.bus.Await(thread, receipts[0].Ticket, patience)
		_, err = n.bus.Outcome(thread, receipts[0].Ticket)
		return err
	}
	if err := publish(`{"a":"é"}`); err != nil {
		t.Error(err)
	}
	if err := publish(`{"a":"漢"}`); fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), "22P05") {
		t.Errorf("error %v", err)
	}
	if got := n.AwaitDelivered(1); string(got[0].Event.Data) != `{"a":"é"}` {
		t.Errorf("delivered %s", got[0].Event.Data)
	}
}

func TestRowsThatAreNoEventsArePassedOver(t *testing.T) {
	database := newDatabase(t)
	n := openNode(t, Options{URL: server.URL(database)})
	conn := connect(t, database)
	at, err := n.publish(t, "first", "a", "", bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	for i, columns := range []string{"'a', 't', '[]'", "'', 't', '{}'", "'a b', 't', '{}'", "'a', '', '{}'", "'a.*', 't', '{}'"} {
		must(t, conn, fmt.Sprintf(`INSERT INTO fraiseql_subscriptions.outbox (seq, id, channel, event_type, data, correlation_id, published_at)
			SELECT nextval('fraiseql_subscriptions.outbox_seq'), 'bad%d', c, e, d::json, '', now() FROM (VALUES (%s)) AS one (c, e, d)`, i, columns))
	}
	publish(t, conn, "second")
	n.awaitKinds(t, "first second")
	if got := n.bus.State()["not_events"]; got != 5 {
		t.Errorf("%v rows were no events", got)
	}
	if !n.log.has("is no event") {
		t.Error("nothing is logged")
	}
	if kinds, recovered := n.replay(t, at, "*"); kinds != "second" || !recovered {
		t.Errorf("replayed %q, recovered %v", kinds, recovered)
	}
}

// TestNothingOvertakesAStatementThatFailedForAWhile: what would be in the next one is not sent.
func TestNothingOvertakesAStatementThatFailedForAWhile(t *testing.T) {
	database := newDatabase(t)
	conn := connect(t, database)
	must(t, conn, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.id = 'first' THEN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END IF; RETURN NEW; END $$`)
	must(t, conn, "CREATE TRIGGER full_disk BEFORE INSERT ON fraiseql_subscriptions.outbox FOR EACH ROW EXECUTE FUNCTION full_disk()")
	s := openServer(t, Options{URL: server.URL(database)})
	large := `{"a":"` + strings.Repeat("x", mostEventBytes/2+1) + `"}` // no two in a statement
	requests := []*remote.Request{request("first", large), request("second", large)}
	unsent := requests[1].Err
	s.Publish(t.Context(), requests)
	if got := outbox(t, conn); len(got) > 0 || !isToComeFirst(requests[0]) || !errors.Is(requests[1].Err, unsent) {
		t.Errorf("the outbox has %v; %v, %v", got, requests[0].Err, requests[1].Err)
	}
	must(t, conn, "DROP TRIGGER full_disk ON fraiseql_subscriptions.outbox")
	s.Publish(t.Context(), requests)
	if got := outbox(t, conn); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("the outbox has %v; %v, %v", got, requests[0].Err, requests[1].Err)
	}
}
